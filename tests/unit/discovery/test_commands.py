"""Real command lines, as `ps` shows them, and what the service behind each is called."""

from __future__ import annotations

import shlex
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.discovery.commands import script_name
from otelauto.model import Process

PYTHON = "/usr/bin/python3.11"
JAVA = "/usr/lib/jvm/java-17-openjdk-amd64/bin/java"
NODE = "/usr/bin/node"
RUBY = "/usr/bin/ruby3.1"
DOTNET = "/usr/share/dotnet/dotnet"
BEAM = "/usr/lib/erlang/erts-13.1.5/bin/beam.smp"
ES = "org.elasticsearch.bootstrap.Elasticsearch"


def name(exe: str, command: str, cwd: str = "/") -> str:
    return script_name(Process(1, 1, exe=exe, cmdline=tuple(shlex.split(command)), cwd=cwd))


def title(exe: str, text: str, cwd: str = "/") -> str:
    return script_name(Process(1, 1, exe=exe, cmdline=(text,), cwd=cwd))


@pytest.mark.parametrize(
    ("command", "cwd", "expected"),
    [
        ("python3 /srv/shop.py", "/", "shop"),
        ("python3 /srv/a/app.py", "/", "a"),
        ("python3 /srv/b/app.py", "/", "b"),
        ("python3 app.py", "/srv/shop", "shop"),
        ("python3 ./app.py --port 8000", "/srv/shop", "shop"),
        ("python3 src/main.py", "/opt/billing/current", "billing"),
        ("python3 main.py", "/opt/billing/releases/20240131120000", "billing"),
        ("python3 /app/main.py", "/app", "main"),
        ("python3 server.py", "/home/alice", "server"),
        ("python3 server.py", "/home/alice/blog", "blog"),
        ("python3 -u -X dev -W ignore /srv/shop/worker.py", "/", "shop"),
        ("python3 -uWignore -Xdev /srv/mailer.py", "/", "mailer"),
        ("python3 -bb --check-hash-based-pycs always mailer.py", "/", "mailer"),
        ("python3 -m http.server 8003", "/", "http.server"),
        ("python3 -mhttp.server 8003", "/", "http.server"),
        ("python3 -um shop.__main__", "/", "shop"),
        ("python3 -m shop.main", "/", "shop"),
        ("python3 -c 'import time; time.sleep(1)'", "/srv/shop", ""),
        ("python3 -", "/srv/shop", ""),
        ("python3", "/", ""),
        ("python3 -m", "/", ""),
        ("' ' -m http.server 8003", "/", "http.server"),
        ("/srv/shop/.venv/bin/python manage.py runserver 0:8000", "/srv/shop", "shop"),
        ("python3 /usr/lib/python3/dist-packages/mailer/__main__.py", "/", "mailer"),
        ("python3 /usr/local/bin/jupyter-lab --no-browser", "/", "jupyter-lab"),
        ("python3 /srv/dir with/app.py", "/", "dir"),
        # servers of an application
        ("python3 /usr/bin/gunicorn -w 4 -b 0.0.0.0:8000 shop.wsgi:application", "/", "shop"),
        ("python3 /usr/bin/gunicorn shop.wsgi --bind unix:/run/shop.sock", "/", "shop"),
        ("python3 /usr/bin/gunicorn -c /etc/g.py shop.wsgi", "/", "shop"),
        ("python3 /usr/bin/gunicorn --workers=4 shop.wsgi", "/", "shop"),
        ("python3 /usr/bin/gunicorn -k uvicorn.workers.UvicornWorker app:app", "/srv/a", "a"),
        ("python3 /usr/bin/gunicorn --chdir /srv/shop/src app:app", "/", "shop"),
        ("python3 /usr/bin/gunicorn -n storefront app:app", "/", "storefront"),
        ("python3 /usr/bin/gunicorn --name=storefront app:app", "/", "storefront"),
        ("python3 -m gunicorn 'shop.factory:create_app()'", "/", "shop.factory"),
        ("python3 -m uvicorn app.main:app --host 0.0.0.0 --port 80", "/srv/shop", "shop"),
        ("python3 /usr/bin/uvicorn main:app --app-dir /srv/billing", "/", "billing"),
        ("python3 /usr/bin/hypercorn quart_site:app", "/", "quart_site"),
        ("python3 /usr/bin/daphne chat.asgi:application", "/", "chat"),
        ("python3 /usr/bin/celery -A proj worker -l info", "/", "proj"),
        ("python3 -m celery --app=proj.app worker", "/", "proj"),
        ("python3 /usr/bin/flask --app shop run -p 80", "/", "shop"),
        ("python3 /usr/bin/flask run", "/srv/shop", "shop"),
        ("python3 -m flask run", "/srv/shop", "shop"),
        ("python3 /usr/bin/streamlit run dash.py", "/srv", "dash"),
        ("python3 /usr/bin/fastapi run app/main.py", "/srv/shop", "shop"),
    ],
)
def test_python(command, cwd, expected):
    assert expected == name(PYTHON, command, cwd)


@pytest.mark.parametrize(
    ("command", "cwd", "expected"),
    [
        ("java -jar /opt/shop/shop-1.2.3.jar", "/", "shop"),
        ("java -Xmx1g -jar shop-1.2.3-SNAPSHOT.jar --server.port=80", "/", "shop"),
        ("java -jar shop-2.0.0.RELEASE-exec.jar", "/", "shop"),
        ("java -jar shop-all.jar", "/", "shop"),
        ("java -jar payment-service.jar", "/", "payment-service"),
        ("java -jar app.jar", "/opt/shop", "shop"),
        ("java -jar /opt/billing/lib/app-1.0.jar", "/", "billing"),
        ("java -jar quarkus-app/quarkus-run.jar", "/opt/orders", "orders"),
        ("java -jar", "/", ""),
        ("java -cp /opt/x/* com.example.shop.Main", "/", "shop"),
        ("java -classpath a.jar:b.jar com.example.ShopServer 80", "/", "ShopServer"),
        ("java -cp x --add-opens java.base/java.lang=ALL-UNNAMED com.example.ShopKt", "/", "Shop"),
        ("java -cp x com.example.shop.ApplicationKt", "/", "shop"),
        ("java -p mods -m com.example.shop/com.example.shop.Main", "/", "shop"),
        ("java --module com.example.shop", "/", "com.example.shop"),
        ("java @/etc/shop.args com.example.Shop", "/", "Shop"),
        ("java -Dspring.application.name=orders -jar app.jar", "/", "orders"),
        ("java -jar app.jar --spring.application.name=orders", "/", "orders"),
        ("java org.springframework.boot.loader.JarLauncher", "/opt/shop", "shop"),
        ("java -cp x " + ES, "/", "Elasticsearch"),
        ("java -cp x kafka.Kafka /etc/kafka.properties", "/", "Kafka"),
        (
            "java -Dcatalina.base=/srv/intranet org.apache.catalina.startup.Bootstrap start",
            "/",
            "intranet",
        ),
        ("java org.apache.catalina.startup.Bootstrap start", "/", "tomcat"),
        ("java Hello.java", "/", "Hello"),
        ("java -version", "/", ""),
        ("java", "/", ""),
    ],
)
def test_java(command, cwd, expected):
    assert expected == name(JAVA, command, cwd)


@pytest.mark.parametrize(
    ("command", "cwd", "expected"),
    [
        ("node /srv/shop/server.js", "/", "shop"),
        ("node server.js", "/srv/shop/dist", "shop"),
        ("node index.mjs", "/srv/a", "a"),
        ("node --max-old-space-size=4096 --enable-source-maps dist/main.js", "/srv/api", "api"),
        ("node -r dotenv/config --require ./x.js gateway.js", "/", "gateway"),
        ("node --import=./otel.mjs gateway.js", "/", "gateway"),
        ("node --title=storefront server.js", "/", "storefront"),
        ("node -e 'require(1)'", "/srv/a", ""),
        ("node", "/", ""),
        ("node /usr/lib/node_modules/npm/bin/npm-cli.js run start", "/srv/shop", "shop"),
        ("node /srv/shop/node_modules/.bin/next start", "/srv/shop", "shop"),
        ("node /srv/shop/node_modules/.bin/ts-node src/billing.ts", "/srv/shop", "billing"),
        ("node /srv/shop/node_modules/ghost/index.js", "/", "ghost"),
        ("node /usr/bin/nodemon server.js", "/srv/shop", "shop"),
    ],
)
def test_node(command, cwd, expected):
    assert expected == name(NODE, command, cwd)


@pytest.mark.parametrize(
    ("exe", "command", "cwd", "expected"),
    [
        (RUBY, "ruby /srv/mailer.rb", "/", "mailer"),
        (RUBY, "ruby -I lib -w bin/server.rb", "/srv/shop", "shop"),
        (RUBY, "ruby bin/rails server -p 80", "/srv/shop/current", "shop"),
        (RUBY, "ruby /usr/bin/puma -C config/puma.rb", "/srv/shop", "shop"),
        (RUBY, "ruby -e 'puts 1'", "/srv/shop", ""),
        ("/usr/bin/perl", "perl -w /srv/guestbook.pl", "/", "guestbook"),
        ("/usr/bin/perl", "perl /usr/bin/plackup app.psgi", "/srv/wiki", "wiki"),
        ("/usr/bin/perl", "perl /usr/bin/starman /srv/blog.psgi", "/", "blog"),
        ("/usr/bin/php8.2", "php artisan serve", "/srv/shop", "shop"),
        ("/usr/bin/php8.2", "php -S 0:80 -t public", "/srv/shop", "shop"),
        ("/usr/bin/php8.2", "php -d x=1 /srv/worker/consume.php", "/", "consume"),
        (DOTNET, "dotnet /srv/shop/Company.Shop.Api.dll", "/", "Company.Shop.Api"),
        (DOTNET, "dotnet exec --depsfile x.json Shop.dll", "/", "Shop"),
        (DOTNET, "dotnet run --project src/Shop.csproj", "/", "Shop"),
        (DOTNET, "dotnet run", "/srv/shop", "shop"),
        ("/usr/bin/mono", "mono Shop.exe", "/", "Shop"),
        ("/usr/bin/deno", "deno run --allow-net shop.ts", "/", "shop"),
        ("/usr/bin/deno", "deno run -A main.ts", "/srv/shop", "shop"),
        ("/usr/bin/deno", "deno task start", "/srv/shop", "shop"),
        ("/usr/bin/bun", "bun run index.ts", "/srv/shop", "shop"),
        ("/usr/bin/bun", "bun start", "/srv/shop", "shop"),
        (BEAM, "beam.smp -W w -- -root /x -progname erl -- -sname rabbit@web1", "/", "rabbit"),
        (BEAM, "beam.smp -- -root /x", "/", ""),
        ("/usr/bin/bash", "bash /srv/hook/listen.sh", "/", "listen"),
        ("/usr/bin/dash", "sh -c 'while :; do :; done'", "/", ""),
        ("/usr/bin/uwsgi-core", "uwsgi --ini /etc/uwsgi/shop.ini", "/", "shop"),
        ("/usr/bin/uwsgi-core", "uwsgi --http :80 -w shop.wsgi:app", "/", "shop"),
        ("/usr/lib/R/bin/exec/R", "R --no-echo --file=plumber.R", "/", "plumber"),
        ("/usr/bin/luajit", "luajit gateway.lua", "/", "gateway"),
        ("/usr/sbin/nginx", "nginx -g 'daemon off;'", "/", ""),
        ("/srv/shop/server", "/srv/shop/server --port 80", "/", ""),
    ],
)
def test_other_runtimes(exe, command, cwd, expected):
    assert expected == name(exe, command, cwd)


@pytest.mark.parametrize(
    ("exe", "text", "cwd", "expected"),
    [
        (PYTHON, "gunicorn: master [shop.wsgi:application]", "/", "shop"),
        (PYTHON, "gunicorn: worker [app:app]", "/srv/a", "a"),
        (PYTHON, "gunicorn: worker [store-front]", "/", "store-front"),
        (PYTHON, "[celeryd: celery@web1:MainProcess] -active- (worker -A proj)", "/", "proj"),
        (RUBY, "puma 5.6.4 (tcp://0.0.0.0:3000) [shop]", "/", "shop"),
        (RUBY, "puma: cluster worker 0: 4242 [shop]", "/", "shop"),
        (RUBY, "sidekiq 6.5.1 shop [0 of 10 busy]", "/", "shop"),
        (RUBY, "unicorn master -c config/unicorn.rb -D", "/srv/shop/current", "shop"),
        (RUBY, "Passenger RubyApp: /srv/shop (production)", "/", "shop"),
        (NODE, "next-server (v14.1.0)", "/srv/shop", "shop"),
        (NODE, "npm run start", "/srv/shop", "shop"),
        (NODE, "npm", "/srv/shop", "shop"),
        (PYTHON, "something else entirely", "/srv/shop", ""),
        ("/usr/sbin/nginx", "gunicorn: master [app:app]", "/srv/a", ""),
    ],
)  # fmt: skip
def test_titles_that_servers_give_themselves(exe, text, cwd, expected):
    assert expected == title(exe, text, cwd)


def test_master_before_and_after_it_sets_its_title_has_one_name():
    before = name(PYTHON, "python3 /usr/bin/gunicorn -w 4 app:app", "/srv/shop")
    assert before == title(PYTHON, "gunicorn: master [app:app]", "/srv/shop") == "shop"


def test_unreadable_executable_is_told_by_its_first_argument():
    assert name("", "python3 /srv/shop/app.py") == "shop"


@pytest.mark.parametrize("exe", [PYTHON, JAVA, NODE, RUBY, "/bin/sh", "/usr/bin/uwsgi"])
@pytest.mark.parametrize("unit", ["-1", "a.", "/", "(", "[", " ", "-m", "x:"])
def test_hostile_command_line_cannot_stop_the_agent(exe, unit):
    """A quarter of a megabyte that makes careless patterns take the square of its length."""
    text = unit * (262_144 // len(unit)) + "\n.jar"
    started = time.process_time()
    for cmdline in ((text,), ("x", "-jar", text), ("x", "/usr/bin/gunicorn", text), ("x", text)):
        script_name(Process(1, 1, exe=exe, cmdline=cmdline, cwd="/srv/shop"))
    script_name(Process(1, 1, exe=exe, cmdline=tuple(text), cwd="/srv/shop"))
    assert time.process_time() - started < 1


EXECUTABLES = st.sampled_from([PYTHON, JAVA, NODE, RUBY, DOTNET, BEAM, "/bin/sh", "/bin/php", ""])
WORDS = st.sampled_from(
    ["-m", "-c", "-jar", "-", "--", "-cp", "/", "..", "run", "-A", "-S", "x:y"]
)


@given(EXECUTABLES, st.lists(WORDS | st.text(max_size=20), max_size=8), st.text(max_size=20))
def test_any_command_line_gives_a_name_or_none(exe, words, cwd):
    assert isinstance(script_name(Process(1, 1, exe=exe, cmdline=tuple(words), cwd=cwd)), str)
