"""Comparisons of servers: assert that their answers are equal, then measure the processor time of the requests."""

import re
import time
from collections.abc import Sequence
from statistics import median

from benchmarks.figures import Figure
from benchmarks.servers import Request, Server

ATTEMPTS = 5
MIN_CPU_SECONDS = 0.1  # ten ticks of the kernel's accounting, also when other processes use the processor


def compare(
    name: str, goal: float, stretch_goal: float, servers: list[Server], requests: list[Request], *, quick: bool
) -> Figure:
    """Return the processor time of the first server, the bare one, divided by that of the second."""
    assert_equal_answers(servers, requests)
    times = measure_in_turns([(server, requests) for server in servers], quick=quick)
    return ratio_figure(name, goal, stretch_goal, "bare", times)


def assert_equal_answers(servers: list[Server], requests: list[Request]) -> None:
    """Raise AssertionError unless the two servers answer each request with the same bytes.

    An answer about connected devices shows the time until now, in seconds. Both servers therefore get the request at the
    same moment, in the first half of a second. If that second passes before both have read the clock, it is sent again.
    """
    for request in requests:
        for _ in range(ATTEMPTS):
            answers = _answers_at_once(servers, request)
            if answers[0] == answers[1]:
                break
        else:
            position = next((n for n, pair in enumerate(zip(*answers, strict=False)) if pair[0] != pair[1]), -1)
            excerpts = [answer[max(0, position - 200) : position + 100] for answer in answers]
            raise AssertionError(
                f"{request.path} differs at {position} of {[len(answer) for answer in answers]}:\n"
                f"{excerpts[0]!r}\n{excerpts[1]!r}"
            )


def _answers_at_once(servers: list[Server], request: Request) -> list[bytes]:
    if (fraction := time.time() % 1) > 0.5:
        time.sleep(1.001 - fraction)
    for server in servers:
        server.client.send(request.encode())
    # A cursor contains the instant, in microseconds, of the first page of its list.
    return [re.sub(rb"NEWEST\.\d+", b"NEWEST", b"".join(server.client.receive())) for server in servers]


def measure_in_turns(workloads: Sequence[tuple[Server, list[Request]]], *, quick: bool) -> list[list[float]]:
    """Return, for each server, the processor time of its requests in each round, in seconds."""
    seconds, rounds = (0.8, 3) if quick else (2.0, 5)
    times: list[list[float]] = [[] for _ in workloads]
    for round_number in range(rounds + 1):
        for (server, requests), measured in zip(workloads, times, strict=True):
            cpu = _cpu_per_repetition(server, requests, seconds if round_number else 0.5)
            if round_number:  # the first round warms up
                measured.append(cpu)
    return times


def _cpu_per_repetition(server: Server, requests: list[Request], seconds: float) -> float:
    """Repeat all requests for at least the given time. Return the server's processor time of one repetition."""
    encoded = [request.encode() for request in requests]
    end, cpu_before, repetitions = time.perf_counter() + seconds, server.cpu(), 0
    while time.perf_counter() < end or server.cpu() - cpu_before < MIN_CPU_SECONDS:
        for request in encoded:
            server.client.request(request)
        repetitions += 1
    return (server.cpu() - cpu_before) / repetitions


def ratio_figure(name: str, goal: float, stretch_goal: float, other: str, times: list[list[float]]) -> Figure:
    """Return the median ratio of another server's times to ours."""
    ratio = median(theirs / ours for theirs, ours in zip(*times, strict=True))
    detail = f"{other} {median(times[0]) * 1000:.3g} ms, ours {median(times[1]) * 1000:.3g} ms of CPU"
    return Figure(name, ratio, goal, stretch_goal, detail)
