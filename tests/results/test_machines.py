"""Where runs were carried out: kept with each run, counted, and told apart by what differs."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from calmix.results.machines import Machine, described, differing, processor, runs_by_machine
from calmix.results.records import Record, as_json, from_json, read_record, save_record

ONE = Machine("cpu", "EPYC 7B13", 1, "0.2", "2.9.0", "3.11")
GPU = replace(ONE, device="cuda", name="H100")
Make = Callable[..., Record]


def test_a_machine_is_kept_with_its_run(make_record: Make, tmp_path: Path):
    record = replace(make_record(), machine=ONE, cost_machine=GPU)
    save_record(tmp_path, record, {})
    found = read_record(tmp_path, "erm", 0)
    assert found == record
    assert found is not None
    assert (found.machine, found.cost_machine) == (ONE, GPU)
    assert from_json(json.loads(json.dumps(as_json(make_record())))).machine is None


def test_machines_are_told_apart_by_what_differs():
    assert differing([ONE, ONE, None]) == []
    assert differing([ONE, GPU]) == ["name"]
    assert differing([ONE, replace(ONE, torch="2.8.0"), replace(ONE, threads=2)]) == ["threads", "torch"]
    assert differing([ONE, replace(ONE, device="cuda")]) == ["device"]
    assert described(replace(ONE, threads=2), ["threads", "torch"]) == "2 threads, torch 2.9.0"
    assert described(ONE, ["device"]) == "cpu"
    assert described(None, ["name"]) == "a machine that is not known"
    assert str(GPU) == "H100, 1 thread, calmix 0.2, torch 2.9.0, python 3.11"


def test_the_machine_of_most_runs_is_counted_first():
    assert list(runs_by_machine([ONE, GPU, GPU, None]).items()) == [(GPU, 2), (ONE, 1), (None, 1)]


def test_costs_go_together_on_one_kind_whatever_the_versions():
    assert ONE.kind == replace(ONE, torch="2.8.0", threads=4).kind
    assert len({ONE.kind, GPU.kind, replace(ONE, name="Xeon").kind, replace(ONE, device="cuda").kind}) == 4


def test_the_processor_has_a_name():
    assert processor()
