"""A load of real HTTP clients that keeps its own books: what was sent, what was answered, what was lost."""
import http.client
import json
import threading
import time


class Clients:
    """The life of a load: `threads`, which end once `stopping` is set."""

    def start(self):
        for t in self.threads:
            t.start()
        return self

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(60)
        return self


class Load(Clients):
    """N threads, each with a keep-alive connection and a key of its own, posting numbered events one after the other.
    Honours `Connection: close`, as every HTTP client must: reconnects for the next request."""

    def __init__(self, port, threads, path="/events/orders", pause_s=0.0, name="key"):
        self.port, self.path, self.pause_s, self.name = port, path, pause_s, name
        self.acknowledged = {}   # id -> (key, number)
        self.statuses = {}
        self.lost = []           # (thread, number, why): a request without any answer
        self.refused = 0         # connections refused: nothing was sent
        self.unknown = set()     # (key, number) sent, but the answer was outcome-unknown or nothing came
        self.mutex = threading.Lock()
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.client, args=(i,), daemon=True) for i in range(threads)]

    def client(self, i):
        key, number, connection = f"{self.name}-{i}", 0, None
        while not self.stopping.is_set():
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                try:
                    connection.connect()
                except OSError:
                    with self.mutex:
                        self.refused += 1
                    connection = None
                    time.sleep(0.05)
                    continue
            number += 1
            connection = self.one(connection, key, number)
            if self.pause_s:
                time.sleep(self.pause_s)
        if connection:
            connection.close()

    def one(self, connection, key, number):
        body = json.dumps({"customer": key, "number": number})
        try:
            connection.request("POST", self.path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as e:
            with self.mutex:
                self.lost.append((key, number, repr(e)))
                self.unknown.add((key, number))
            connection.close()
            return None
        with self.mutex:
            self.statuses[response.status] = self.statuses.get(response.status, 0) + 1
            if response.status == 202:
                self.acknowledged[json.loads(answer)["id"]] = (key, number)
            elif b"outcome-unknown" in answer:
                self.unknown.add((key, number))
        if response.status != 202:
            time.sleep(0.02)
        if response.will_close:
            connection.close()
            return None
        return connection


def judge(records, *loads, unsure=frozenset()):
    """(missing, inversions, duplicates): acknowledged ids not in Kafka; per key, first occurrences out of order; repeats.
    `unsure`: (key, number) that have no place in the order, because their sender was told that the outcome is unknown: a
    server that froze during the COMMIT may have finished it after the sender's next event."""
    seen, order, duplicates = {}, {}, 0
    for record in records:
        identity = dict(record.headers())["ce_id"].decode()
        if identity in seen:
            duplicates += 1
            continue
        event = json.loads(record.value())
        seen[identity] = event
        if (event["customer"], event["number"]) not in unsure:
            order.setdefault(event["customer"], []).append(event["number"])
    missing = [i for load in loads for i in load.acknowledged if i not in seen]
    inversions = sum(1 for numbers in order.values() for a, b in zip(numbers, numbers[1:]) if b <= a)
    return missing, inversions, duplicates
