"""A real Keystone on a free port of loopback: one process, with its database in a folder.

Arguments: a folder, and the names of its users. Each has the password `secret`, and is an administrator of the project
`admin`. Says its port once it serves; ends when its standard input does.
"""

import base64
import os
import sqlite3
import sys
import threading
import wsgiref.simple_server

FOLDER, *USERS = sys.argv[1:]
FILE = os.path.join(FOLDER, "keystone.conf")

with open(FILE, "w") as file:
    file.write(
        f"""[DEFAULT]
log_file = {FOLDER}/keystone.log
[database]
connection = sqlite:///{FOLDER}/keystone.db
[cache]
enabled = false
[fernet_tokens]
key_repository = {FOLDER}/tokens
[fernet_receipts]
key_repository = {FOLDER}/receipts
[credential]
key_repository = {FOLDER}/credentials
[identity]
password_hash_rounds = 4
"""
    )
os.environ["OS_KEYSTONE_CONFIG_FILES"] = FILE
sys.argv[1:] = []

for name in ("tokens", "receipts", "credentials"):
    os.mkdir(os.path.join(FOLDER, name), 0o700)
    for key in ("0", "1"):
        with open(os.path.join(FOLDER, name, key), "wb") as file:
            file.write(base64.urlsafe_b64encode(os.urandom(32)))

import keystone.server
from keystone.server import wsgi

# Its parts can be put together once in a process.
filling = os.fork()
if filling == 0:
    from keystone.cmd import bootstrap
    from keystone.common import sql

    # A reader of its own must not keep its writer out; the file remembers it.
    sqlite3.connect(os.path.join(FOLDER, "keystone.db")).execute("PRAGMA journal_mode=WAL")
    keystone.server.configure(config_files=[FILE])
    made = bootstrap.Bootstrapper()
    with sql.session_for_write() as session:
        sql.ModelBase.metadata.create_all(session.get_bind())
    for user in USERS:
        made.admin_username = user
        made.admin_password = "secret"
        made.project_name = "admin"
        made.admin_role_name = "admin"
        made.service_name = "keystone"
        made.bootstrap()
    os._exit(0)
if os.waitpid(filling, 0)[1] != 0:
    sys.exit("the database could not be filled")


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_):
        pass


server = wsgiref.simple_server.make_server("127.0.0.1", 0, wsgi.initialize_public_application(), handler_class=Quiet)
print(server.server_port, flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
server.serve_forever()
