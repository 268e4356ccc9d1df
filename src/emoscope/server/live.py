"""Labels while somebody speaks, over a WebSocket: ``/api/stream``.

A client sends sound as binary messages of any length and gets an
:class:`~emoscope.prediction.microphone.Update` as JSON after each;
the text message ``end`` gets the prediction of all of it, with its timeline. What is said of one
stream is what ``emoscope listen`` shows of the microphone: both are a
:class:`~emoscope.prediction.microphone.Session`.
"""

import asyncio
import time
from collections.abc import Callable

import numpy as np
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from ..errors import EmoscopeError, MissingExtraError, check_known
from ..prediction.microphone import Block, Session
from ..prediction.timeline import Samples
from .limits import reason
from .work import Service

SMALLEST_RATE, LARGEST_RATE = 8_000, 192_000  # Hz
OPUS_RATE = 48_000  # to which Opus is decoded, whatever it was made from
SILENT_SECONDS = 60.0  # after which a stream without a message is closed
UNUSABLE, TOO_LONG, BUSY = 1003, 1009, 1013  # why a stream is closed; RFC 6455, section 7.4

router = APIRouter()


@router.websocket("/api/stream")
async def stream(
    socket: WebSocket,
    rate: str = "16000",
    format: str = "pcm16",
    model: str | None = None,
) -> None:
    """Label sound as it arrives: 16-bit PCM of one channel, or Opus packets, one a message."""
    service: Service = socket.app.state.service
    await socket.accept()
    with service.load.stream() as admitted:
        if not admitted:
            await socket.close(BUSY, f"{service.limits.streams} streams are already open")
            return
        try:
            decode, hertz = _decoder(format, rate)
            session = Session(service.model(model)[1], hertz, name="stream")
            await _follow(socket, service, session, decode)
        except EmoscopeError as error:
            await socket.close(UNUSABLE, reason(error)[:120])
        except WebSocketDisconnect:
            return


async def _follow(
    socket: WebSocket, service: Service, session: Session, decode: Callable[[bytes], Samples]
) -> None:
    heard = service.monitor.audio_seconds
    while True:
        try:
            message = await asyncio.wait_for(socket.receive(), SILENT_SECONDS)
        except TimeoutError:
            await socket.close(UNUSABLE, f"nothing arrived for {SILENT_SECONDS:g} s")
            return
        arrived = time.perf_counter()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") is not None:
            if message["text"] != "end":
                raise EmoscopeError("send sound as binary messages; the only text is 'end'")
            await socket.send_json((await service.run(session.finish)).to_dict())
            await socket.close()
            return
        block = Block(decode(message["bytes"]), arrived)
        heard.inc(len(block.samples) / session.rate)
        await socket.send_json((await service.run(session.update, block)).to_dict())
        if session.stream.seconds > service.limits.seconds:
            most = f"{service.limits.seconds:g} s"
            await socket.close(TOO_LONG, f"longer than {most}, the limit here")
            return


def _decoder(format: str, rate: str) -> tuple[Callable[[bytes], Samples], int]:
    """What decodes messages, and to how many samples a second."""
    check_known("format", ("pcm16", "opus"), format)
    if format == "opus":
        return _opus(), OPUS_RATE
    if not (rate.isdecimal() and SMALLEST_RATE <= int(rate) <= LARGEST_RATE):
        raise EmoscopeError(f"rate {rate[:20]}: give {SMALLEST_RATE} to {LARGEST_RATE} Hz")
    return _pcm, int(rate)


def _pcm(sent: bytes) -> Samples:
    if not sent or len(sent) % 2:
        raise EmoscopeError(f"a message of {len(sent)} bytes is no 16-bit PCM")
    return np.frombuffer(sent, "<i2").astype(np.float32) / np.float32(32_768)


def _opus() -> Callable[[bytes], Samples]:
    """A decoder of Opus packets, which keeps what one says about the next."""
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("Opus", "av", "video") from error
    codec = av.CodecContext.create("libopus", "r")
    to_mono = av.AudioResampler(format="fltp", layout="mono", rate=OPUS_RATE)

    def decode(packet: bytes) -> Samples:
        try:
            if not _is_packet(packet):
                raise ValueError
            packed = codec.decode(av.Packet(packet))
            frames = [mono for frame in packed for mono in to_mono.resample(frame)]
        except (av.FFmpegError, ValueError) as error:
            raise EmoscopeError(f"a message of {len(packet)} bytes is no Opus packet") from error
        found = [frame.to_ndarray()[0] for frame in frames]
        return np.concatenate([np.zeros(0, np.float32), *found], dtype=np.float32)

    return decode


def _is_packet(sent: bytes) -> bool:
    """Whether its frames hold more than a byte each, as sound does, or it is short as in a pause."""
    if len(sent) <= 2:
        return bool(sent)
    kind = sent[0] & 3  # RFC 6716, section 3.2: one frame, two, two, as many as the next byte says
    return len(sent) - (1, 1, 2, 2)[kind] > (1, 2, 2, sent[1] & 63)[kind]
