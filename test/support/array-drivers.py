"""Cinder's own drivers for arrays, unmodified: the clients in them that speak to an array, each making one changing call
through a gateway when it is told to.

Arguments: as JSON, where each array is to be found (host and port by family), and a folder for what Cinder locks and
stores. Lines in: a family, and `afresh` where its driver is to start and log in first. Lines out: as JSON, what was raised, or null, and what it says.
"""

import json
import logging
import os
import sys
import types
import warnings

warnings.simplefilter("ignore")
# Where they are set, requests goes by them in spite of what a driver says.
for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
    os.environ.pop(name, None)

from oslo_config import cfg

from cinder import coordination
from cinder import objects
from cinder.common import config  # Registers the options that the drivers read.

PLACES = json.loads(sys.argv[1])
FOLDER = sys.argv[2]
USER, PASSWORD = "cinder", "secret"
VOLUME = "5aa1f3d2-0000-4000-8000-000000000001"

cfg.CONF([], project="cinder")
cfg.CONF.set_override("state_path", FOLDER)
cfg.CONF.set_override("lock_path", FOLDER, group="oslo_concurrency")
cfg.CONF.set_override("backend_url", "file://" + FOLDER, group="coordination")
objects.register_all()
coordination.COORDINATOR.start()


class Options(types.SimpleNamespace):
    """What cinder.conf says of one backend."""

    def safe_get(self, name):
        return getattr(self, name, None)

    def append_config_values(self, options):
        for option in options:
            if not hasattr(self, option.dest):
                setattr(self, option.dest, option.default)


def options(family, **more):
    host, port = PLACES[family]
    return Options(san_ip=host, san_api_port=port, san_login=USER, san_password=PASSWORD, driver_ssl_cert_verify=False, **more)


def ontap_arguments(family):
    host, port = PLACES[family]
    return {
        "hostname": host, "port": port, "transport_type": "http", "username": USER, "password": PASSWORD, "vserver": "svm1",
        "ssl_cert_path": None, "api_trace_pattern": "(.*)",
    }


def ontap():
    from cinder.volume.drivers.netapp.dataontap.client import client_cmode_rest

    client = client_cmode_rest.RestClient(**ontap_arguments("ontap"))
    return lambda: client.destroy_lun("/vol/v1/volume-" + VOLUME)


def zapi():
    from cinder.volume.drivers.netapp.dataontap.client import client_cmode

    client = client_cmode.Client(**ontap_arguments("zapi"))
    return lambda: client.destroy_lun("/vol/v1/volume-" + VOLUME)


def solidfire():
    from cinder.volume.drivers import solidfire as module

    driver = module.SolidFireDriver(configuration=options("solidfire", sf_api_port=PLACES["solidfire"][1], replication_device=[]))
    return lambda: driver._issue_api_request("DeleteVolume", {"volumeID": 7})


def msa():
    from cinder.volume.drivers.stx import client as module

    client = module.STXClient("%s:%d" % tuple(PLACES["msa"]), USER, PASSWORD, "https", False)
    client.login()
    return lambda: client.delete_volume("v1")


def powerflex():
    from cinder.volume.drivers.dell_emc.powerflex import rest_client

    client = rest_client.RestClient(options("powerflex", powerflex_rest_server_port=PLACES["powerflex"][1]))
    client.do_setup()
    client.query_rest_api_version()
    volume = {"provider_id": "a1"}
    return lambda: client.rename_volume(volume, VOLUME)


def powerstore():
    # Imported by itself, the client goes round in a circle.
    from cinder.volume.drivers.dell_emc.powerstore import driver  # noqa: F401
    from cinder.volume.drivers.dell_emc.powerstore import client as module

    client = module.PowerStoreClient(PLACES["powerstore"][0], USER, PASSWORD, False, None)
    # It knows port 443 only.
    client.base_url = "https://%s:%d/api/rest" % tuple(PLACES["powerstore"])
    return lambda: client.delete_volume_or_snapshot("a1")


def powermax():
    from cinder.volume.drivers.dell_emc.powermax import rest

    client = rest.PowerMaxRest()
    host, port = PLACES["powermax"]
    client.set_rest_credentials({
        "RestServerIp": host, "RestServerPort": port, "RestUserName": USER, "RestPassword": PASSWORD, "SSLVerify": False,
        "SerialNumber": "000197800123",
    })
    return lambda: client.extend_volume("000197800123", "0009A", 2, {"retries": 3, "interval": 1})


def oceanstor():
    from cinder.volume.drivers.huawei import rest_client

    url = "https://%s:%d/deviceManager/rest/" % tuple(PLACES["oceanstor"])
    client = rest_client.RestClient(options("oceanstor", storage_pools=[], iscsi_info={}), [url], USER, PASSWORD)
    client.login()
    return lambda: client.delete_lun("5")


def hitachi():
    from cinder.volume.drivers.hitachi import hbsd_rest, hbsd_rest_api

    conf = options("hitachi")
    conf.append_config_values(hbsd_rest.REST_VOLUME_OPTS)
    conf.hitachi_exec_retry_interval = 1
    host, port = PLACES["hitachi"]
    client = hbsd_rest_api.RestApiClient(conf, host, port, "938000412345", USER, PASSWORD, "HBSD")
    client.login()
    return lambda: client.delete_ldev(7)


FAMILIES = {made.__name__: made for made in (ontap, zapi, solidfire, msa, powerflex, powerstore, powermax, oceanstor, hitachi)}
KEPT = {}


class Kept(logging.Handler):
    """What a driver writes to its log about an error, beside what it raises."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def run(family, how):
    try:
        if how == "afresh" or family not in KEPT:
            KEPT[family] = FAMILIES[family]()
        KEPT[family]()
        return None, ""
    except Exception as error:
        return type(error).__name__, str(error)


kept = Kept()
logging.getLogger().addHandler(kept)
print("ready", flush=True)
for line in sys.stdin:
    kept.lines = []
    raised, says = run(*line.split())
    print(json.dumps({"raised": raised, "says": says, "logged": "\n".join(kept.lines)}), flush=True)
