"""The page of a campaign in a browser: live, in two widths, with a structure that turns, without a word on the console."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time

import pytest
from conftest import program_found
from test_formats import CAMPAIGN, silicon

import nepal
from nepal import _files, _program

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    program_found,
    pytest.mark.skipif(not CHROMIUM, reason="SKIPPED: apt-get install chromium; needs chromium"),
]


class Page:
    """One page of a headless Chromium, by its protocol over two pipes."""

    def __init__(self, profile):
        down, self.write = os.pipe()
        self.read, up = os.pipe()

        def pipes():
            os.dup2(down, 3)
            os.dup2(up, 4)

        for pipe in (down, up):
            os.set_inheritable(pipe, True)
        # Above 4, so that none of them is written over.
        down, up = (os.dup(pipe) if pipe < 5 else pipe for pipe in (down, up))
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        self.browser = subprocess.Popen([*command, "about:blank"], preexec_fn=pipes, close_fds=False, stderr=subprocess.DEVNULL)
        os.close(down)
        os.close(up)
        self.buffer, self.number, self.session, self.said = b"", 0, None, []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def close(self):
        self.browser.kill()
        self.browser.wait()
        os.close(self.read)
        os.close(self.write)

    def ask(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.buffer:
                more = os.read(self.read, 1 << 16)
                assert more, "the browser is gone"
                self.buffer += more
            text, _, self.buffer = self.buffer.partition(b"\0")
            answer = json.loads(text)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            if answer.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
                self.said.append(answer["params"])

    def value(self, expression):
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait(self, expression):
        end = time.monotonic() + 60
        while not self.value(expression):
            assert time.monotonic() < end, expression
            time.sleep(0.1)

    def drag(self, x, y, to):
        for kind, x, buttons in (("mousePressed", x, 1), ("mouseMoved", to, 1), ("mouseReleased", to, 0)):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons, clickCount=1)


@pytest.fixture
def page(tmp_path):
    with contextlib.closing(Page(tmp_path / "profile")) as made:
        yield made


def test_a_report_is_live_and_turns(page, tmp_path):
    frames = silicon(5)
    _files.write(frames[:4], tmp_path / "train.xyz")
    _files.write(frames[4:], tmp_path / "test.xyz")
    campaign = nepal.Campaign.create(tmp_path / "c.toml", CAMPAIGN)
    server = subprocess.Popen([_program.find(), "report", campaign.path, "--serve", "--watch"], stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().split()[-1]
        page.ask("Page.navigate", url=address)
        page.wait("document.body && document.body.innerText.includes('nothing to report')")
        campaign.run(progress=lambda event: None)
        # It shows by itself what came of it.
        page.wait("document.querySelectorAll('svg.plot').length > 4 && document.getElementById('live').innerText.includes('ended')")
        for width in (1280, 430):
            page.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
            assert page.value("document.documentElement.scrollWidth") <= width
            shot = base64.b64decode(page.ask("Page.captureScreenshot")["data"])
            assert shot.startswith(b"\x89PNG") and len(shot) > 10_000
        if page.value("!document.getElementById('viewer').hidden"):
            drawn = "document.querySelector('#viewer canvas').toDataURL()"
            page.value("document.querySelector('#viewer canvas').scrollIntoView({block: 'center'})")
            before = page.value(drawn)
            box = page.value("(b => [b.x + b.width / 2, b.y + b.height / 2])(document.querySelector('#viewer canvas').getBoundingClientRect())")
            page.drag(*box, box[0] + 60)
            assert page.value(drawn) != before
        assert not page.said, json.dumps(page.said)
    finally:
        server.kill()
        server.wait()
