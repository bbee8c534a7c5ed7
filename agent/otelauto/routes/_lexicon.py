"""Words that mean something in a path. Only word lists live here; heuristic.py uses them.

The lists hold words that are common over many products and frameworks, not the paths of one. A
word which is missing costs little: it is then a name, and names are kept too unless there are
many.
"""

from __future__ import annotations

from typing import Final

#: Kept wherever they stand, also under a collection: actions, views, states, technical things.
ENDPOINTS: Final = frozenset(
    """
    about accept access ack action actions activate active activity add admin
    admins agenda aggregate aggregations ajax alive all analytics api apis app apply approve
    archive archived assets atom audit auth authenticate authorize autocomplete available
    avatar avatars backup balance ban basic batch billing block bulk calendar callback cancel
    capabilities cart catalog cdn challenge change changes chat check checkout clear clone
    close closed compare complete completed config configs
    configuration confirm connect console contact contacts content copy core count counts
    create credentials csrf css current customize dashboard data debug default delete deploy
    deprecated describe detail details devices diff disable discover dns docs documentation
    dologin download downloads draft drafts edit embed enable endpoint endpoints error errors
    estimate events exec execute exists explore export exports extend faq favicon.ico favorite
    favorites featured feed feeds filter find followers following fonts forgot forgot-password
    form gateway generate geo get global graph graphiql graphql grpc guest health healthcheck
    healthz help history home hook hooks html http icons images img import imports inbox index
    index.html index.php info init insights install introspect invite invoke ip js json jsonrpc
    jwks jwks.json keys kpi languages last latest layout leave legal libs like likes limits
    link links list live livez locale lock log login logo logout logs lookup mail main manage
    manifest.json map maps mark me media meta metadata metrics mfa migrate mine mobile move
    multi nearby new news newsletter next notifications notify oauth oauth2 oembed offers oidc
    old open openapi openapi.json options otp overview parent password passwords patch pause
    pay pending permissions photo picture ping plans platform play poll popular portal
    preferences premium prev preview previous pricing privacy private probe process profile
    prom proxy public publish published pull purge push put query random rate raw read ready
    readyz recent recommendations recommended recover redirect refresh refund register reject
    related reload remove rename render reorder report reports request resend reset
    reset-password resource resources rest restart restore results resume retry review reviews
    revoke robots.txt root rpc rss run save schema schemas scripts search secure security self
    sell send server services set settings setup share shared sign sign-in
    sign-out sign-up signin signout signup sitemap.xml soap socket.io sort spec sql sse sso
    start state static statistics stats status stop storage stream styles submit subscribe
    subscription suggest suggestions summary support swagger sync system tasks template
    templates terms test thumbnail timeline toggle top track transfer translate tree trending
    type types undo unlock unread unsubscribe update updates upload uploads upsert usage
    userinfo validate vendor verify version versions video view views wallet watch web webhook
    webhooks webjars websocket whoami wishlist workflow ws wss xml xmlrpc
    """.split()  # noqa: SIM905 - a wall of quotes is not easier to read
)

#: Endpoints that often stand beside an identifier, such as /users/me beside /users/{id}.
GUARDED: Final = (
    b"all", b"batch", b"bulk", b"count", b"current", b"export", b"health", b"import", b"latest",
    b"list", b"login", b"logout", b"me", b"new", b"recent", b"register", b"search", b"self",
    b"stats", b"status", b"suggest", b"upload",
)  # fmt: skip

#: The same for identifiers at the root, such as short links.
GUARDED_AT_ROOT: Final = (
    b"about", b"admin", b"api", b"auth", b"contact", b"docs", b"favicon.ico", b"graphql",
    b"health", b"healthz", b"home", b"index.html", b"live", b"livez", b"login", b"logout",
    b"metrics", b"ping", b"privacy", b"ready", b"readyz", b"register", b"robots.txt",
    b"search", b"signin", b"signup", b"sitemap.xml", b"status", b"terms", b"upload",
    b"version",
)  # fmt: skip

#: Singular nouns whose children are members of a collection, named by people or by machines.
COLLECTIONS: Final = frozenset(
    """
    account album alert alias answer article artifact artist asset author blob blogpost board
    book booking branch brand bucket build campaign card category channel city client comment
    commit company contract contributor conversation country coupon course creator customer
    database dataset deployment device doc document domain driver email employee entity entry
    environment episode experiment file folder follower friend game group guild handle hashtag
    host hotel household image incident instance invoice isbn issue item job key keyword label
    lead listing location machine member merchant message model movie namespace node note
    notification object order org organisation organization owner package page participant
    partner passenger patient payment people person pet photo player playlist pod podcast post
    product profile project promotion province publisher queue recipe record region repo
    repository reservation room school seller sensor session shipment shop showtime sku slug
    song space store student subscriber supplier symbol tag task teacher team tenant thread
    ticket token topic track transaction trip u uid user username value vehicle vendor video
    volume warehouse word worker workspace zone
    """.split()  # noqa: SIM905 - see above
)

#: Segments under which an API lists its endpoints, so that many different names are normal.
API_ROOTS: Final = frozenset({"api", "apis", "rest", "rpc", "services", "ajax", "internal"})

#: Words with digits in them.
TERMS: Final = frozenset(
    """
    2fa 3d 3ds a11y aes128 aes256 amd64 arm64 auth0 b2b b2c base16 base32 base58 base64 c14n
    crc32 d3 e2e ec2 ed25519 es256 es512 h264 h265 h2c hs256 hs512 http11 http2 http3 i18n i386
    ipv4 ipv6 iso8601 k3s k8s l10n log4j m3u8 md4 md5 mp3 mp4 mpeg4 oauth oauth1 oauth2 p12 p2p
    pkcs12 pkcs8 ps5 rfc3339 route53 rs256 rs512 s3 sha1 sha224 sha256 sha3 sha384 sha512 smb2
    socks5 ssh2 utf16 utf32 utf8 v8 web2 web3 win32 win64 x264 x265 x32 x509 x64 x86
    """.split()  # noqa: SIM905 - see above
)

#: Letters a to f only, and yet words.
HEX_WORDS: Final = frozenset({"acceded", "defaced", "effaced", "fabaceae"})

#: Extensions of what a server runs: the file is an endpoint.
HANDLER_EXTENSIONS: Final = frozenset(
    """
    action ashx asmx asp aspx cfm cgi dll do fcgi htm html jsf jsp jspx mvc php phtml pl py rb
    shtml svc xhtml
    """.split()  # noqa: SIM905 - see above
)

#: Pairs of letters which hardly occur in words of languages in the Latin script, by first letter.
#: Compounds and loanwords have one now and then, random letters have several.
RARE_FOLLOWERS: Final = {
    "b": "qxz",
    "c": "gjvwx",
    "d": "qx",
    "f": "jqvxz",
    "g": "jqvxz",
    "h": "jqx",
    "i": "y",
    "j": "bcdfghjklmpqrtvwxyz",
    "k": "jqxz",
    "l": "qx",
    "m": "jqxz",
    "p": "jqvxz",
    "q": "bcdefghjkmnoprstvwxyz",
    "r": "qx",
    "s": "x",
    "t": "qx",
    "v": "bcdfghjkmpqtwxz",
    "w": "jqvx",
    "x": "bdgjknqrvwz",
    "y": "jqy",
    "z": "cfjqx",
}
