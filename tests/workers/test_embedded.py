"""The embedded servers: started, found, taken over and stopped, whatever happened to them before."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from webapp.embedded import EmbeddedPostgres, EmbeddedRedis, EmbeddedServerError, paths


@pytest.fixture
def var_dir() -> Iterator[Path]:
    """Not pytest's own folder: that one is closed to the account under which root runs Postgres."""
    folder = Path(tempfile.mkdtemp(prefix="kumite-embedded-"))
    folder.chmod(0o711)
    yield folder
    EmbeddedPostgres(folder).stop()
    EmbeddedRedis(folder).stop()
    shutil.rmtree(folder)


def wait_for(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_postgres_keeps_its_data_over_a_stop(var_dir: Path) -> None:
    server = EmbeddedPostgres(var_dir, is_durable=False)
    server.start()
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    assert server.running() is None
    server.start()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_starting_twice_reuses_the_running_server(var_dir: Path) -> None:
    first = EmbeddedPostgres(var_dir, is_durable=False)
    first.start()
    second = EmbeddedPostgres(var_dir, is_durable=False)
    second.start()
    assert first.process is not None
    assert second.process == first.process


def test_a_killed_postgres_starts_again_with_what_was_committed(var_dir: Path) -> None:
    server = EmbeddedPostgres(var_dir, is_durable=False)
    server.start()
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert server.process is not None
    server.process.kill()
    wait_for(server.has_died)
    server.start()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_pid_file_that_names_another_program_is_not_believed(var_dir: Path) -> None:
    server = EmbeddedPostgres(var_dir, is_durable=False)
    server.start()
    pid_file = var_dir / "postgres" / "data" / "postmaster.pid"
    content = pid_file.read_text()
    server.stop()
    owner = pid_file.parent.stat()
    with subprocess.Popen(["sleep", "600"], user=owner.st_uid, group=owner.st_gid) as stranger:
        pid_file.write_text(content.replace(content.splitlines()[0], str(stranger.pid), 1))
        os.chown(pid_file, owner.st_uid, owner.st_gid)
        assert server.running() is None
        server.start()
        assert server.is_ready()
        assert stranger.poll() is None
        stranger.kill()


def test_a_half_made_data_folder_is_made_anew(var_dir: Path) -> None:
    server = EmbeddedPostgres(var_dir, is_durable=False)
    half_made = var_dir / "postgres" / "data.new.4711"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    server.start()
    assert server.is_ready()
    assert not half_made.exists()


def test_data_of_another_postgres_version_is_refused_with_a_sentence(var_dir: Path) -> None:
    data = var_dir / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("15\n")
    with pytest.raises(EmbeddedServerError, match="made by Postgres 15, but the installed one is"):
        EmbeddedPostgres(var_dir).start()


def test_a_long_path_moves_the_socket_and_the_address_follows(var_dir: Path) -> None:
    deep = var_dir / ("a" * 60) / ("b" * 60)
    deep.mkdir(parents=True)
    server, broker = EmbeddedPostgres(deep, is_durable=False), EmbeddedRedis(deep, is_durable=False)
    server.start()
    broker.start()
    assert str(deep) not in server.url
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert redis.Redis.from_url(broker.url).ping()
    sockets = paths.socket_dir(deep / "postgres")
    assert sockets.stat().st_mode & 0o777 == 0o700
    server.stop()
    broker.stop()
    shutil.rmtree(sockets)
    shutil.rmtree(paths.socket_dir(deep / "redis"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to lend Postgres another account")
def test_root_keeps_the_data_elsewhere_when_its_folder_is_closed_to_others(var_dir: Path) -> None:
    var_dir.chmod(0o700)
    inner = var_dir / "var"
    server = EmbeddedPostgres(inner, is_durable=False)
    server.start()
    try:
        link = inner / "postgres"
        assert link.is_symlink()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert var_dir.stat().st_mode & 0o777 == 0o700
    finally:
        server.stop()
        shutil.rmtree(link.resolve().parent)


@pytest.mark.fault
def test_servers_end_with_their_killed_owner(var_dir: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from webapp.embedded import EmbeddedPostgres, EmbeddedRedis\n"
        "servers = [EmbeddedPostgres(Path(sys.argv[1]), is_durable=False), EmbeddedRedis(Path(sys.argv[1]))]\n"
        "[server.start() for server in servers]; print('up', flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen([sys.executable, "-c", program, str(var_dir)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"up\n"
    server, broker = EmbeddedPostgres(var_dir, is_durable=False), EmbeddedRedis(var_dir)
    assert server.running()
    assert broker.running()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    wait_for(lambda: server.running() is None and broker.running() is None)
    server.start()
    broker.start()
    assert server.is_ready()
    assert broker.is_ready()


def test_redis_socket_is_for_its_owner_only(var_dir: Path) -> None:
    broker = EmbeddedRedis(var_dir)
    broker.start()
    socket = var_dir / "redis" / "redis.sock"
    assert socket.stat().st_mode & 0o777 == 0o700
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    config = redis.Redis.from_url(broker.url).config_get("*")
    assert (config["appendonly"], config["maxmemory-policy"], config["port"]) == ("yes", "noeviction", "0")


def test_a_damaged_redis_file_is_put_aside(var_dir: Path) -> None:
    broker = EmbeddedRedis(var_dir)
    broker.start()
    redis.Redis.from_url(broker.url).set("key", "value")
    broker.stop()
    (var_dir / "redis" / "appendonly.aof").write_bytes(b"this is no append-only file\n" * 10)
    broker.start()
    assert redis.Redis.from_url(broker.url).ping()
    assert list((var_dir / "redis").glob("appendonly.damaged-*"))


def test_a_file_in_the_way_is_refused_with_a_sentence(var_dir: Path) -> None:
    (var_dir / "redis").symlink_to("/tmp")
    with pytest.raises(EmbeddedServerError, match="belongs to somebody else"):
        EmbeddedRedis(var_dir).start()
    (var_dir / "redis").unlink()
