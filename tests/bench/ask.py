"""One question to a port, as a load balancer asks it."""
import socket


def ask(port, path):
    """The status; 0 where nobody answers within a second."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            return int(s.recv(4096).split()[1])
    except (OSError, IndexError, ValueError):
        return 0
