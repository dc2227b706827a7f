"""The shell completes commands, options, data sets, methods and files: real bash is asked."""

import shutil
import subprocess
from pathlib import Path

import pytest

from calmix import METHODS
from calmix.cli import COMMANDS, main
from calmix.data import DATASETS

pytest.importorskip("shtab")
BASH = shutil.which("bash")

# the last word is completed, as bash does when the tab key is pressed
ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 ))
_shtab_calmix
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    main(["--print-completion", "bash"])
    path = tmp_path / "calmix.bash"
    path.write_text(capsys.readouterr().out)
    return path


def completed(script: Path, *words: str) -> list[str]:
    assert BASH is not None
    asked = [BASH, "--norc", "-c", ASK, "bash", str(script), "calmix", *words]
    result = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=script.parent)
    assert result.stderr == ""
    return sorted(result.stdout.split())


@pytest.mark.skipif(BASH is None, reason="bash is not installed")
def test_bash_completes_what_can_be_typed(script: Path):
    (script.parent / "digest.csv").write_text("x,y\n")
    assert completed(script, "") == sorted(COMMANDS)
    assert completed(script, "comp") == ["compare"]
    assert completed(script, "compare", "dig") == ["digest.csv", "digits"]
    assert completed(script, "compare", "") == sorted([*DATASETS, "digest.csv", "calmix.bash"])
    assert completed(script, "compare", "digits", "--methods", "erm", "sk_") == ["sk_mixup", "sk_mixup_e"]
    assert completed(script, "train", "digits", "--method", "") == sorted(METHODS)
    assert completed(script, "train", "--quiet", "wi") == ["wine"]
    assert completed(script, "methods", "sk_") == ["sk_mixup", "sk_mixup_e"]
    assert completed(script, "models", "resnet1") == ["resnet101", "resnet18"]
    assert completed(script, "compare", "digits", "--optimizer", "") == ["adamw", "sgd"]
    assert completed(script, "compare", "digits", "--corruptions", "jp") == ["jpeg"]
    assert completed(script, "compare", "digits", "--learn") == ["--learning-rate"]
    assert completed(script, "evaluate", "dig") == ["digest.csv"]
    assert completed(script, "report", "dig") == []  # it takes folders
    assert completed(script, "--print-completion", "") == ["bash", "fish", "zsh"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_have_scripts_with_the_same_words(shell: str, capsys: pytest.CaptureFixture[str]):
    main(["--print-completion", shell])
    script = capsys.readouterr().out
    words = (*COMMANDS, *DATASETS, *METHODS, "--learning-rate"[2:])
    assert [word for word in words if word not in script] == []


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stopped:
        main(["--print-completion", "tcsh"])
    assert stopped.value.code == 2
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err
