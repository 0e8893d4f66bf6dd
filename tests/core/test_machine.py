"""What the machine says of itself."""

from training_core.machine import MachineMeter, parse_network, visible_gpus

TABLE = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  999       1    0    0    0     0          0         0      999       1    0    0    0     0       0          0
  eth0: 1000      10    0    0    0     0          0         0      200       3    0    0    0     0       0          0
  eth1:   24       1    0    0    0     0          0         0        8       1    0    0    0     0       0          0
"""


def test_traffic_is_that_of_every_real_interface():
    assert parse_network(TABLE) == (1024, 208)


def test_rates_come_with_the_second_reading(tmp_path):
    meter = MachineMeter(tmp_path, clock=iter([10.0, 12.0]).__next__)
    first = meter.read()
    assert first["machine/disk_free_gib"] > 0
    assert first["machine/memory_mib"] > 1
    assert "machine/cpu_percent" not in first
    sum(range(300_000))
    assert meter.read()["machine/cpu_percent"] >= 0


def test_only_gpus_the_process_may_see_count():
    assert visible_gpus(None, 2) == ["0", "1"]
    assert visible_gpus("1, GPU-aa", 4) == ["1", "GPU-aa"]
    assert visible_gpus("", 4) == visible_gpus("-1", 4) == []
