"""A real nginx before a backend that writes down what reaches it."""
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from tests.support.servers import free_ports, listens, wait_for


class Recorder:
    """Answers 200 to whatever a proxy sends; `requests`: (method, target, body) of each, in order; `fields`: the header fields of each."""

    def __init__(self):
        self.requests, self.fields = [], []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:  # closed: the end
                return
            with connection:
                self.one(connection)

    def one(self, connection):
        connection.settimeout(20)
        data = b""
        while b"\r\n\r\n" not in data:
            got = connection.recv(65536)
            if not got:
                return
            data += got
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        fields = dict(line.lower().split(b":", 1) for line in lines[1:])
        length = int(fields.get(b"content-length", 0))
        while len(body) < length:
            body += connection.recv(65536)
        method, target, _ = lines[0].decode("latin-1").split(" ")
        self.fields.append({name.decode("latin-1"): value.strip().decode("latin-1") for name, value in fields.items()})
        self.requests.append((method, target, body.decode("latin-1")))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def take(self):
        taken, self.requests = self.requests, []
        return taken

    def remove(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Nginx:
    """`server`: directives of its only server."""

    def __init__(self, server):
        self.dir = Path(tempfile.mkdtemp(prefix="ratchet-nginx-"))
        self.port = free_ports(1)[0]
        temp = "".join(f"{kind}_temp_path {self.dir}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.dir / "nginx.conf").write_text(
            f"daemon off; master_process off; pid {self.dir}/pid; error_log {self.dir}/error.log;\n"
            "events { worker_connections 4096; }\n"
            f"http {{ access_log off; {temp} keepalive_requests 1000000;\n"
            f"server {{ listen 127.0.0.1:{self.port} backlog=4096; {server} }} }}\n")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-c", str(self.dir / "nginx.conf"), "-e", str(self.dir / "error.log")],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("nginx listens", lambda: listens(self.port))
        return self

    def remove(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
