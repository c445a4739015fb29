"""Sums over ranks by NCCL, for which a stand-in of the tests steps in: right answers, and clear ends."""

import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service import BIN, Service, generate  # noqa: E402

LIBRARIES = BIN.parent / "tests"
STAND_IN = str(LIBRARIES / "libnccl_stand_in.so")
DEVICE = ("--device", "cuda-emulated", "--max-num-batched-tokens", "16", "--max-num-seqs", "4")
NCCL = (*DEVICE, "--communicator", "nccl", "--nccl-library", STAND_IN)
PROMPT = ("--prompt", "Once upon a time there was", "--temperature", "0", "--ignore-eos")
UNAVAILABLE = 3  # the client's exit code
COLLECTIVES_OF_A_STEP = 9  # the bundled model's: embedding, two a layer
COLLECTIVES_OF_THE_START = 1 + 3 * COLLECTIVES_OF_A_STEP  # a first sum, the largest step, warm-up


class Misbehaviour:
    """What the stand-in does wrong, for the length of a scope."""

    def __init__(self, **variables: str):
        self.variables = {f"NCCL_STAND_IN_{name}": value for name, value in variables.items()}

    def __enter__(self) -> None:
        os.environ.update(self.variables)

    def __exit__(self, *exc) -> None:
        for name in self.variables:
            del os.environ[name]


def start_client(service: Service, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen([str(BIN / "phalanx"), "generate", "--server", service.address, *arguments],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Answers(unittest.TestCase):
    def tokens(self, *flags: str, ranks: int, words: str = "") -> list[int]:
        with Service(*flags, ranks=ranks, start_s=120) as service:
            answer = generate(service, *PROMPT, "--max-tokens", "6")
            self.assertIn(words, "".join(service.stderr_lines))
            return answer["token_ids"]

    def test_any_number_of_ranks_gives_the_tokens_of_one(self):
        alone = self.tokens(*DEVICE, ranks=1)
        for ranks in (1, 2, 3):
            with self.subTest(ranks=ranks):
                self.assertEqual(self.tokens(*NCCL, ranks=ranks, words="numerics=exact sums=ordered"), alone)

    def test_the_numerics_id_says_who_decides_on_the_order_of_sums(self):
        self.tokens(*NCCL, "--numerics", "fast", ranks=2, words="numerics=fast sums=nccl-2.18.0")
        self.tokens(*DEVICE, "--numerics", "fast", "--communicator", "mpi", ranks=2,
                    words="numerics=fast sums=ordered")


    def test_ranks_that_share_a_gpu_sum_in_the_hosts_memory(self):
        # As far as an emulated device shows it: each rank has one of its own.
        shared = (*DEVICE, "--ranks-per-gpu", "2")
        self.assertEqual(self.tokens(*shared, ranks=3, words="sums=ordered"), self.tokens(*DEVICE, ranks=1))


class Refusals(unittest.TestCase):
    def check(self, *flags: str, message: str, ranks: int = 2) -> None:
        with self.assertRaises(Exception) as caught:
            with Service(*flags, ranks=ranks, start_s=40):
                pass
        self.assertIn(message, str(caught.exception))

    def test_a_cpu_has_no_use_for_it(self):
        self.check("--communicator", "nccl", "--nccl-library", STAND_IN,
                   message="--communicator: is nccl, allowed: auto, shm, mpi with --device cpu")

    def test_nccl_takes_one_rank_a_gpu(self):
        self.check(*NCCL, "--ranks-per-gpu", "2",
                   message="--communicator: is nccl, allowed: auto, shm, mpi with --ranks-per-gpu 2")
        self.check("--ranks-per-gpu", "2", message="--ranks-per-gpu: is 2, allowed: 1 with --device cpu")

    def test_libraries_that_will_not_do(self):
        other = ("--communicator", "nccl", "--nccl-library")
        self.check(*DEVICE, *other, "/no/such/libnccl.so", message="--nccl-library: is /no/such/libnccl.so (")
        self.check(*DEVICE, *other, str(LIBRARIES / "libnccl_without_abort.so"),
                   message="which has no ncclCommAbort")
        with Misbehaviour(VERSION="21400"):
            self.check(*NCCL, message="NCCL 2.14.0, allowed: NCCL from 2.18 on, below 3")

    def test_a_rank_that_does_not_come_is_a_deadline(self):
        with Misbehaviour(ABSENT="1"):
            self.check(*NCCL, "--step-timeout", "5", ranks=3,
                       message="rank 0: NCCL 2.18.0 has not connected 3 ranks within 5.0 s")

    def test_ranks_whose_first_sum_hangs_have_a_deadline(self):
        with Misbehaviour(HANG="1:1"):
            self.check(*NCCL, "--step-timeout", "5",
                       message="rank 0: NCCL 2.18.0 has not connected for its first all-reduce within 5.0 s")

    def test_an_error_in_a_step_of_the_start_ends_it_at_once(self):
        for collective, step in ((4, "largest step"), (4 + COLLECTIVES_OF_A_STEP, "rank 1: warm-up: step 0")):
            began = time.monotonic()
            with self.subTest(step=step), Misbehaviour(ERROR=f"1:{collective}"):
                self.check(*NCCL, message=f"{step}: NCCL 2.18.0, at or before collective {collective} (all-gather of ")
            self.assertLess(time.monotonic() - began, 30)  # peers that were waited for would be a minute


class Failures(unittest.TestCase):
    def end_of_stream(self, service: Service, exit_codes: tuple[int, ...], words: list[str], disturb=None) -> None:
        """A stream ends with the error within 5 s, and so does the service, leaving nothing behind."""
        stream = start_client(service, *PROMPT, "--max-tokens", "2000")
        if disturb is not None:
            stream.stdout.read(1)
            disturb()
        began = time.monotonic()
        _, err = stream.communicate(timeout=30)
        self.assertEqual(stream.returncode, UNAVAILABLE, err)
        self.assertIn(service.process.wait(timeout=20), exit_codes)
        self.assertLess(time.monotonic() - began, 5 if disturb is not None else 20)
        self.assertEqual(service.left_over(), [])
        service.finish_collecting()
        log = "".join(service.stderr_lines)
        for text in words:
            self.assertIn(text, log)

    def test_an_asynchronous_error_names_rank_collective_and_step(self):
        in_the_third_step = f"1:{COLLECTIVES_OF_THE_START + 2 * COLLECTIVES_OF_A_STEP + 1}"
        for kind, numerics, name in (("ERROR", "exact", "all-gather of 256 floats"),
                                     ("LATE_ERROR", "fast", "all-reduce of 256 floats")):
            with self.subTest(kind=kind), Misbehaviour(**{kind: in_the_third_step}), \
                    Service(*NCCL, "--numerics", numerics, ranks=2, start_s=120) as service:
                self.end_of_stream(service, (1,), [
                    "UNAVAILABLE: rank 1: step 3: NCCL 2.18.0, at or before collective ", f"({name}): ",
                    "remote process exited or there was a network error"])

    def test_a_killed_rank_ends_the_group(self):
        for victim in (0, 1):
            with self.subTest(victim=victim), Service(*NCCL, ranks=2, start_s=120) as service:
                pid = service.ranks()[victim]
                self.end_of_stream(service, (137,), [f"rank {victim} (host ", f"pid {pid}) died"],
                                   lambda pid=pid: os.kill(pid, signal.SIGKILL))


if __name__ == "__main__":
    unittest.main()
