"""The child process that does one element: it reads its order from stdin, and writes its answer.

    python -m cxr_vlp.pipelines.engines.child

It ends when its parent ends, which it sees at the end of its stdin.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from pathlib import Path

from cxr_vlp.pipelines import errors
from cxr_vlp.pipelines.engines import handshake
from cxr_vlp.pipelines.engines.base import Outcome
from cxr_vlp.pipelines.engines.isolation import Order
from cxr_vlp.pipelines.executor import worker
from cxr_vlp.pipelines.executor.worker import WorkerState


def main() -> int:
    """Do the element of the order on stdin; return the exit code."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    worker.set_up()
    size = int.from_bytes(sys.stdin.buffer.read(8), "big")
    order: Order = pickle.loads(sys.stdin.buffer.read(size))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answer = pickle.dumps(_done(order))
    path = Path(order.answer)
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_bytes(answer)
    temporary.replace(path)
    return 0


def _done(order: Order) -> Outcome | BaseException:
    """Return the outcome, or a fault of this machine, which the parent raises."""
    if order.umask is not None:
        os.umask(order.umask)
    if refusal := handshake.refusal(order.versions):  # the code was changed since the parent began
        return {"name": order.element.name, "fault": ["EngineError", refusal]}
    state = WorkerState(Path(order.record), order.excluded)
    name = order.element.name
    try:
        result = pickle.loads(order.work)(order.element, state)
    except errors.Stop as stop:
        return {"name": name, "fault": [type(stop).__name__, str(stop)]}
    except (OSError, MemoryError) as error:
        return error
    except Exception as error:
        return {"name": name, "fault": ["DataError", str(errors.internal(error, f"part {name}"))]}
    finally:
        state.close()
    return {"name": name, "result": result}


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing more comes: this returns when the parent has ended
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
