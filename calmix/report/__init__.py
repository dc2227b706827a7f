def print_table(results):
    for r in results["summary"]:
        print(r["method"], {k: f"{v['mean']:.4f}" for k, v in r["metrics"].items()})


def write_report(out):
    return out / "report.html"
