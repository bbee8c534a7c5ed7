# SPDX-License-Identifier: Apache-2.0
"""The River language of Grafana Agent Flow and of Alloy: text, syntax tree and plain data.

Pure functions on text and values; nothing here knows Ansible, files or hosts.
"""
