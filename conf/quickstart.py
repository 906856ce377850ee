#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The web server behind `./dev run`: one page, on a free port of 127.0.0.1, whose number it prints."""

import http.server

PAGE = b"Hello from the web server. You reached it through spliced.\n"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(PAGE)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
