"""Chromium, driven by its debugging pipe: pages that work in a worker are waited for."""

import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pdf import CHROMIUM

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
    "--remote-debugging-pipe",
)
PATIENCE = 300  # seconds


class Browser:
    """A browser that reads commands from one pipe and answers into another."""

    def __init__(self, profile: Path, *flags: str) -> None:
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *flags]
        (theirs_in, self.to), (self.back, theirs_out) = os.pipe(), os.pipe()
        # A shell moves the two pipes to where the browser looks for them: descriptors 3 and 4.
        move = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self.process = subprocess.Popen(
            ["bash", "-c", move, "bash", *command],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self.sent, self.unread, self.events = 0, b"", []

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events that come before it are kept."""
        self.sent += 1
        command = {"id": self.sent, "method": method, "params": parameters}
        if session:
            command["sessionId"] = session
        os.write(self.to, json.dumps(command).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self.sent:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self.events.append(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self.unread:
            if not select.select([self.back], [], [], PATIENCE)[0]:
                self.process.kill()  # or all that follows would wait as long
                raise TimeoutError(f"the browser has said nothing for {PATIENCE} seconds")
            read = os.read(self.back, 1 << 16)
            assert read, "the browser has gone"
            self.unread += read
        line, _, self.unread = self.unread.partition(b"\0")
        return json.loads(line)

    def close(self) -> None:
        self.send("Browser.close")
        self.process.wait(20)
        os.close(self.to)
        os.close(self.back)


class Page:
    """One page of a browser, loaded."""

    def __init__(self, browser: Browser, url: str, **screen: Any) -> None:
        self.browser = browser
        self.target = browser.send("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.send("Target.attachToTarget", targetId=self.target, flatten=True)
        self.session = attached["sessionId"]
        self.send("Runtime.enable")
        if screen:
            self.send("Emulation.setDeviceMetricsOverride", **screen)
        self.send("Page.navigate", url=url)
        self.wait('location.href !== "about:blank" && document.readyState === "complete"')

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.send(method, self.session, **parameters)

    def run(self, script: str) -> Any:
        """Value of an expression, of a promise that which it keeps."""
        answer = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str, seconds: float = PATIENCE) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(condition):
            assert time.monotonic() < end, f"never true: {condition}"
            time.sleep(0.05)

    def close(self) -> None:
        """Close the page, and leave the browser."""
        self.browser.send("Target.closeTarget", targetId=self.target)

    def errors(self) -> list[Any]:
        """Exceptions that nobody caught, and what was logged as an error, up to now."""
        self.run("0")
        mine = [e for e in self.browser.events if e.get("sessionId") == self.session]
        thrown = [e["params"] for e in mine if e["method"] == "Runtime.exceptionThrown"]
        logged = [e["params"] for e in mine if e["method"] == "Runtime.consoleAPICalled"]
        return thrown + [entry for entry in logged if entry["type"] == "error"]


@contextmanager
def opened(profile: Path, *flags: str) -> Iterator[Browser]:
    """A browser with a profile of its own, closed in the end."""
    browser = Browser(profile, *flags)
    try:
        yield browser
    finally:
        browser.close()
