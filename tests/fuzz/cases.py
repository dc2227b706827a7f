"""One case: a folder with damaged files, and the command that reads them."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd

from tests.fuzz import damage
from tests.fuzz.corpus import TINY, picture

OUT = "out"


@dataclass(frozen=True)
class Case:
    """What is called, in a folder of its own. whole: also what takes long, training and painting, is carried out."""

    arguments: list[str]
    whole: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    stdout: str = ""  # "closed", or the path of what stdout is


Make = Callable[[Random, Path, Path], Case]


def evaluate(random: Random, corpus: Path, folder: Path) -> Case:
    kind = random.choice(("npz", "npz", "npz", "csv", "parquet"))
    more: list[str] = []
    if kind == "npz":
        name = random.choice(("classes", "classes", "plain", "numbers"))
        with np.load(corpus / f"{name}.npz") as stored:
            arrays = dict(stored)
        (folder / "a.npz").write_bytes(damage.arrays_of(random, arrays))
    elif kind == "csv":
        (folder / "a.csv").write_bytes(damage.csv_of(random, (corpus / "predictions.csv").read_text()))
    else:
        frame = pd.read_parquet(corpus / "predictions.parquet")
        (folder / "a.parquet").write_bytes(damage.parquet_of(random, frame, folder))
    own, whole = f"a.{kind}", str(corpus / "plain.npz")
    match random.randrange(8):
        case 0:
            more = ["--calibration", own]
        case 1:
            more = ["--ood", own]
        case 2:
            (folder / "v.npy").write_bytes(damage.bytes_of(random, (corpus / "votes.npy").read_bytes()))
            more = ["--human-labels", "v.npy"]
        case 3:
            more, whole = [random.choice(("--logits", "--bins=3", "--bins=1"))], own
        case 4 if kind != "npz":
            columns = ("label", "probs_ant", "probs_bee", "probs_cat", "")
            more = [f"--label-column={random.choice(columns)}", f"--positive={random.choice(('ant', '1', 'x'))}"]
            more += random.choice(([], ["--prob-columns", *random.choices(columns, k=random.randint(1, 3))]))
            whole = own
        case _:
            whole = own
    return Case(["evaluate", whole, *more, "--out", OUT])


def tables(random: Random, corpus: Path, folder: Path) -> Case:
    kind = random.choice(("csv", "csv", "csv.gz", "parquet", "parquet"))
    text, own = (corpus / "table.csv").read_text(), folder / f"t.{kind}"
    if kind == "parquet":
        own.write_bytes(damage.parquet_of(random, pd.read_parquet(corpus / "table.parquet"), folder))
    else:
        raw = damage.csv_of(random, text)
        own.write_bytes(damage.gzip_of(random, raw) if kind == "csv.gz" else raw)
    target = random.choice(("kind", "kind", "kind", "height", "since", "id"))
    more = random.choice(([], ["--keep", "since"], ["--keep", "since", "id"], ["--task", "regression"]))
    data = own.name
    if random.random() < 0.4:
        column = random.choice(("since", "since", "colour", "id", "height", "kind", "x"))
        more = [random.choice(("--group", "--time", "--weight")), column]
    if random.random() < 0.3:  # the damaged table is a part, and a sound one is trained on
        data, part = f"sound.{kind}", random.choice(("--test", "--validation"))
        shutil.copy(corpus / f"table.{kind}", folder / data)
        more = [*more, part, own.name]
    return Case(["train", data, "--target", target, *more, *TINY, "--out", OUT])


def predict(random: Random, corpus: Path, folder: Path) -> Case:
    """A network, or the new rows."""
    network, own = str(corpus / "net"), "t.csv"
    (folder / own).write_bytes((corpus / "table.csv").read_bytes())
    if random.random() < 0.5:
        out = _copied(corpus / "net", folder)
        _damage_one(random, out, ["model.json", "model.json", "*.safetensors"])
        network = OUT
    elif random.random() < 0.5:
        (folder / own).write_bytes(damage.csv_of(random, (corpus / "table.csv").read_text()))
    else:
        own = "t.parquet"
        frame = pd.read_parquet(corpus / "table.parquet")
        (folder / own).write_bytes(damage.parquet_of(random, frame, folder))
    more = random.choice(([], [], ["--alpha", "0.5"], ["--alpha", "0"], ["--model", "mlp(width=9)"], ["--sep", ","]))
    return Case(["predict", network, own, *more, "--out", f"said.{random.choice(('csv', 'parquet'))}"])


def report(random: Random, corpus: Path, folder: Path) -> Case:
    """A stored comparison, drawn again or ranked."""
    name = random.choice(("wine", "wine", "diabetes", "digits"))
    out = _copied(corpus / name, folder)
    _damage_one(random, out, ["results.json", "results.json", "results.json", "predictions/*.npz"])
    more = random.choice(([], [], [], ["--reference", "erm"], [str(corpus / "wine"), "--out", "ranks"]))
    return Case(["report", OUT, *more])


def resume(random: Random, corpus: Path, folder: Path) -> Case:
    out = _copied(corpus / "wine", folder)
    _damage_one(random, out, ["runs/*.json", "runs/*.json", "predictions/*.npz", "results.json"])
    given = ["compare", "wine", "--methods", "erm", "mixup", "--seeds", "2", "--workers", "1", *TINY]
    return Case([*given, "--out", OUT, "--resume"])


def diagnosis(random: Random, corpus: Path, folder: Path) -> Case:
    out = _copied(corpus / "moons", folder)
    files = ["diagnosis.json", "diagnosis.json", "scores.csv", "mixes/*.npz", "surfaces/*.npz"]
    if random.random() < 0.7:
        _damage_one(random, out, files)
        return Case(["report", OUT])
    _damage_one(random, out, [*files, "seeds/*.json", "seeds/*.json", "oracle/*.pt"])
    given = ["diagnose", "two_moons", "--methods", "sk_mixup", "--seeds", "1", *TINY, "--pairs", "60"]
    return Case([*given, "--oracle-rows", "40", "--oracle-epochs", "2", "--out", OUT, "--resume"])


def _copied(source: Path, folder: Path) -> Path:
    shutil.copytree(source, folder / OUT, ignore=shutil.ignore_patterns("figures", "report.html"))
    return folder / OUT


def _damage_one(random: Random, folder: Path, patterns: list[str]) -> None:
    path = random.choice([path for pattern in patterns for path in sorted(folder.glob(pattern))[:4]])
    raw = path.read_bytes()
    if path.suffix == ".json" and random.random() < 0.8:
        path.write_text(damage.json_of(random, raw.decode()), encoding="utf-8")
    elif path.suffix == ".npz" and random.random() < 0.8:
        with np.load(path) as stored:
            path.write_bytes(damage.arrays_of(random, dict(stored)))
    elif path.suffix == ".csv" and random.random() < 0.6:
        path.write_bytes(damage.csv_of(random, raw.decode()))
    elif random.random() < 0.05:
        path.unlink()
    else:
        path.write_bytes(damage.bytes_of(random, raw))


# ---------------------------------------------------------------------------------------------- options

VALUES = {
    "epochs": [0, -1, 3, 10**6, 10**30, 1.5, "x"],
    "batch-size": [0, 1, 10**9, 10**30],
    "optimizer": ["adamw", "adam", ""],
    "schedule": ["one_cycle", "x"],
    "learning-rate": [0, -1, 1e-40, 1e38, 1e39, 1e308, "nan", "inf", "x", 1e-3],
    "weight-decay": [-1, 0, 1e38, 1e39, 1e300, "nan"],
    "select": ["best", "worst"],
    "device": ["cpu", "tpu"],
    "precision": ["32", "bf16", "64", 16],
    "model": ["mlp", "resnet", "os:system", "x:y", "", ":", "calmix.cli:main", "json:dumps"],
    "train-size": [0, 1, 3, 20, 10**9, 10**30],
    "task": ["regression", "binary", "x"],
    "label-noise": ["symmetric:0.4", "symmetric:nan", "symmetric:1e-400", "human:worse", "x", ":", "symmetric:"],
    "seed": [-1, 3, 2**32, 2**63, 2**64, 10**30],
    "method": [
        "mixup", "mixup(alpha=1e39)", "mixup(alpha=1e-40)", "mixup(", "mixup(alpha=__import__('os'))", "cutmix", "ALL",
        "sk_mixup(tau_max=1e300)", "sk_mixup(space=Inputs())", "(" * 300, "mixup(alpha=" + "-" * 3000 + "1)", "c_mixup",
        "mit(alpha=1e30)", "mit_l(alpha=1e12)", "mixup_e(eta=1e38)", "", "=cmd|", "mixup\x07", "regmixup", "rankmixup",
    ],
    "set": ["mixup.alpha=0.4", "mixup.alpha=1e400", "mixup", "x.y=z", "mixup.=1", "mixup.alpha=[[["],
    "ood": ["notmnist", "x"],
    "corruptions": ["jpeg", "x", "ALL"],
    "target": ["kind", ""],
    "keep": ["x"],
    "test": ["nowhere.csv", ""],
    "group": ["since", "id", "x"],
    "time": ["since", "kind", ""],
    "weight": ["id", "height", "x"],
    "data-dir": ["nowhere", "\0", ""],
    "bogus": [1],
}  # fmt: skip


def flags(random: Random, corpus: Path, folder: Path) -> Case:
    data = random.choice(("wine", "wine", "diabetes", "two_moons", str(corpus / "table.csv"), "x", "", "\0", "a" * 300))
    arguments = ["train", data, *TINY, *(["--target", "kind"] if data.endswith("csv") else [])]
    for _ in range(random.choice((1, 1, 2))):
        name = random.choice(list(VALUES))
        arguments += [f"--{name}", str(random.choice(VALUES[name]))]
    environment = {"MPLBACKEND": "nonsense"} if random.random() < 0.1 else {}
    stdout = random.choice(("closed", "/dev/full")) if random.random() < 0.1 else ""
    if random.random() < 0.05:
        own = folder / "caf\udce9.csv"
        shutil.copy(corpus / "table.csv", own)
        arguments = ["train", own.name, "--target", "kind", *TINY]
    return Case([*arguments, "--out", OUT], random.random() < 0.1, environment, stdout)


CONFIGS = [
    b"epochs: &a [*a]",
    b"&a {epochs: *a}",
    b"methods: &a {a: *a}",
    b"epochs: {a: 1}",
    b"methods: {erm: 1}",
    b"out: [a, b]",
    b"- 1\n- 2",
    b"null",
    b"1",
    b"",
    b"\xff\xfe\x00",
    "epochs: caf\u00e9".encode("latin-1"),
    b"epochs: 2\nepochs: 3",
    b"!!python/object/apply:os.system ['true']",
    b"epochs: !!int x",
    b"? [a, b]\n: 1",
    b"? {a: 1}\n: 2",
    b"1: 2",
    b"true: 1",
    b"a: &a [x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b]\nmethods: [*c,*c,*c,*c,*c,*c]",
    b"config: c.yaml",
    b"epochs: 2020-01-01",
    b"epochs: 1_0",
    b"epochs: 0x10",
    b"\tepochs: 2",
    b"epochs: 2\n---\nepochs: 3",
    b"out: \0",
    b"set: [mixup.alpha=0.4]",
    b"set: mixup.alpha=0.4",
    b"methods: erm",
    b"methods: [erm, [mixup]]",
    b"help: true",
    b"data: wine",
    b"data: [wine]",
    b"resume: 7",
    b"resume: [1]",
    b"refresh_batch_norm: x",
    b"keep: {a: b}",
    b"ood: 3",
]


def config(random: Random, corpus: Path, folder: Path) -> Case:
    name = random.choice(("c.yaml", "c.yaml", "c.json", "c.toml"))
    known = {
        "epochs": 2,
        "train_size": 20,
        "methods": ["erm", "mixup"],
        "seeds": 1,
        "learning_rate": 0.1,
        "select": "best",
    }
    if random.random() < 0.3:
        raw = random.choice(CONFIGS)
    elif random.random() < 0.7:
        raw = damage.json_of(random, json.dumps(known)).encode("utf-8", "replace")
    elif random.random() < 0.5:
        options = [option for option in VALUES if option not in ("method", "seed", "bogus")]
        chosen = random.sample(options, 2)
        raw = (
            json.dumps(
                {
                    option.replace("-", "_"): random.choice([random.choice(VALUES[option]), damage.nasty(random)])
                    for option in chosen
                }
            )
            .replace(damage.DEEP, "[" * 2000)
            .encode("utf-8", "replace")
        )
    else:
        raw = damage.bytes_of(random, "\n".join(f"{key}: {json.dumps(value)}" for key, value in known.items()).encode())
    (folder / name).write_bytes(raw)
    rest = ["--methods", "erm", "--seeds", "1", "--workers", "1"] if random.random() < 0.5 else ["--workers", "1"]
    return Case(["compare", "wine", "--epochs", "2", "--train-size", "20", "--config", name, *rest, "--out", OUT])


# ---------------------------------------------------------------------------------------------- images


def images(random: Random, corpus: Path, folder: Path) -> Case:
    if random.random() < 0.75:
        source, data = "fashion", "fashion_mnist"
        shutil.copytree(corpus / source, folder / "d")
        path = random.choice(sorted((folder / "d").iterdir()))
        raw = path.read_bytes()
        where = random.randrange(8)
        if where < 3:
            head = bytearray(raw[:16])
            head[random.randrange(16)] = random.choice((0, 1, 2, 3, 5, 255))
            raw = bytes(head) + raw[16:]
        elif where == 3:
            shape = random.choice(((6020, 0, 4), (0, 4, 4), (30, 5, 4), (30, 0, 0), (6020, 4, 0), (2**31, 4, 4)))
            raw = bytes([0, 0, 8, 3]) + np.array(shape, ">u4").tobytes() + b"\1" * min(int(np.prod(shape)), 10**6)
        else:
            raw = damage.bytes_of(random, raw[:16]) + raw[16:] if where < 6 else damage.bytes_of(random, raw)
        path.write_bytes(raw)
        if random.random() < 0.3:
            path.with_name(path.name + ".gz").write_bytes(damage.gzip_of(random, raw))
            path.unlink()
    else:
        source, data = "cifar", "cifar10"
        shutil.copytree(corpus / source, folder / "d")
        path = folder / "d" / random.choice(("train-0.parquet", "test-0.parquet"))
        if random.random() < 0.4:
            path.write_bytes(damage.bytes_of(random, path.read_bytes()))
        else:
            frame = pd.read_parquet(path)
            size = random.choice(((5, 4), (1, 1), (4, 4), (900, 900)))
            format = random.choice(("PNG", "JPEG", "GIF", "BMP"))
            odd = random.choice(
                (
                    picture(1, size, format),
                    b"",
                    None,
                    damage.bytes_of(random, picture(2)),
                    _png_of(50_000, 50_000),
                    b"\x89PNG",
                )
            )
            every = random.random() < 0.2
            for row in range(len(frame)) if every and len(frame) < 99 else [random.randrange(len(frame))]:
                frame.at[row, "img"] = {"bytes": odd, "path": None}
            if random.random() < 0.2:
                frame["label"] = random.choice((-1, 10, 3.5, "x"))
            frame.to_parquet(path)
    return Case(["train", data, "--data-dir", "d", "--method", "mixup", *TINY, "--out", OUT])


def _png_of(width: int, height: int) -> bytes:
    """A PNG that claims to be so large, as it says at its beginning."""
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


KINDS: Mapping[str, tuple[Make, int]] = {  # and how many of a thousand
    "evaluate": (evaluate, 300),
    "tables": (tables, 290),
    "predict": (predict, 50),
    "report": (report, 220),
    "resume": (resume, 20),
    "diagnosis": (diagnosis, 25),
    "config": (config, 30),
    "flags": (flags, 50),
    "images": (images, 15),
}
