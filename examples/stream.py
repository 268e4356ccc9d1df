"""Label sound while it arrives, by a running `emoscope serve`: python stream.py FILE.wav"""

import json
import sys
import time

import soundfile
from websockets.sync.client import connect

samples, rate = soundfile.read(sys.argv[1], dtype="int16", always_2d=True)
step = rate // 10  # a tenth of a second, as a microphone would give it
with connect(f"ws://localhost:8765/api/stream?rate={rate}") as stream:
    for start in range(0, len(samples), step):
        stream.send(samples[start : start + step, 0].tobytes())
        update = json.loads(stream.recv())
        print(f"{update['seconds']:6.1f} s  {update['emotion'] or '–'}  {update['confidence']:.0%}")
        time.sleep(0.1)
    stream.send("end")
    print(json.loads(stream.recv())["emotion"])
