"""What `pericard bench device` runs on the board, in MicroPython: a text with three numbers put in.

It prints a JSON object a line. `plain` is the firmware's own source without its viper decorators, so both
rows do the same steps. Times are medians of batches, by the board's own microsecond clock.
"""

ON_BOARD = """
import gc, json, time
gc.collect()
before = gc.mem_alloc()
from pericard_node import aead, app, frame, reading, settings, uart
class Silent:
    room = 256
    up = True
    def send(self, packet): return True
    def receive(self): return b""
class Steady:
    rejected = 0
    def read(self): return reading.Reading(0, 60.0)
class Store:
    key = bytes(32); device = 1; epoch = 0; age = 61; clock = 0; boot = since = 0
    def epoch_is_over(self, *_): return False
node = app.Node(Store(), 1, Steady(), Silent(), settings.load(), lambda: None)
node.step()
gc.collect()
print(json.dumps({{"ram_bytes": gc.mem_alloc() - before}}))

def microseconds(cipher, n, batch, batches):
    buffer = bytearray(frame.MAX_FRAME_BYTES)
    cipher.seal_frame(buffer, n)
    found = []
    for _ in range(batches):
        start = time.ticks_us()
        for _ in range(batch):
            cipher.seal_frame(buffer, n)
        found.append(time.ticks_diff(time.ticks_us(), start) / batch)
    found.sort()
    return found[len(found) // 2]

def allocated(cipher, n, frames):
    buffer = bytearray(frame.MAX_FRAME_BYTES)
    cipher.seal_frame(buffer, n)
    gc.collect()
    gc.disable()
    start = gc.mem_alloc()
    for _ in range(frames):
        cipher.seal_frame(buffer, n)
    used = gc.mem_alloc() - start
    gc.enable()
    return used / frames

viper = aead.ChaCha20Poly1305(bytes(32))
print(json.dumps({{"alloc_bytes_per_frame": allocated(viper, 100, 100)}}))
names = {{"__name__": "plain", "ptr8": lambda x: x, "ptr32": lambda x: x, "uint": lambda x: x}}
exec(PLAIN, names)
plain = names["ChaCha20Poly1305"](bytes(32))
for size in (32, 128, 512):
    n = size - 32
    print(json.dumps({{"size": size, "viper_us": microseconds(viper, n, {fast}, {batches}),
        "plain_us": microseconds(plain, n, {slow}, {batches})}}))
"""
