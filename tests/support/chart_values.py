"""Values of the chart that every test of it goes through."""

from support.charts import Manifest

GPU_POOL = {
    "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L40S"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "runtimeClassName": "nvidia",
    "priorityClassName": "images",
    "topologySpreadConstraints": [
        {
            "maxSkew": 2,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule",
        }
    ],
    "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "64Gi"}},
}
ROUTERS = {
    "nodeSelector": {"pool": "front"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "priorityClassName": "front",
    "resources": {"requests": {"cpu": "500m"}},
}
ROUTE = {"cascade": "scenes", "namespace": "images", "host": "img.example.com"}
EVERYTHING: Manifest = {
    "commonLabels": {"team": "images"},
    "imagePullSecrets": ["registry"],
    "operator": {
        "replicas": 2,
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
        "priorityClassName": "system-cluster-critical",
        "podLabels": {"sidecar": "none"},
        "podAnnotations": {"note": "x"},
        "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    },
    "serviceAccount": {"annotations": {"role": "x"}},
    "defaults": {"worker": GPU_POOL, "router": ROUTERS},
    "dataPlane": {"serviceAccountName": "bare"},
    "huggingFace": {"tokenSecret": {"name": "hub"}, "offline": True},
    "monitoring": {
        "prometheus": {"url": "http://prometheus.monitoring:9090"},
        "serviceMonitor": {"enabled": True, "labels": {"release": "kps"}},
        "podMonitor": {"enabled": True, "labels": {"release": "kps"}},
        "rules": {"enabled": True, "labels": {"release": "kps"}},
    },
    "dashboards": {"enabled": True, "annotations": {"grafana_folder": "HADIS"}},
    "networkPolicy": {
        "apiServer": {"cidrs": ["10.0.0.1/32"], "ports": [6443]},
        "monitoring": {"from": [{"ipBlock": {"cidr": "192.0.2.1/32"}}]},
        "router": {"from": [{"namespaceSelector": {}}]},
    },
    "ingress": {"enabled": True, "routes": [{**ROUTE, "timeoutSeconds": 70}]},
    "httpRoute": {
        "enabled": True,
        "parentRefs": [{"name": "gateway", "namespace": "gateways"}],
        "routes": [{**ROUTE, "timeoutSeconds": 90}],
    },
}
VALUE_SETS: dict[str, Manifest] = {
    "defaults": {},
    "everything": EVERYTHING,
    "namespaced": {"watchNamespaces": ["images", "lab"]},
    "namespaced with everything": {**EVERYTHING, "watchNamespaces": ["images"]},
    "bare": {
        "crds": {"install": False},
        "rbac": {"create": False, "aggregate": False},
        "serviceAccount": {"create": False, "name": "mine"},
        "networkPolicy": {"enabled": False},
        "tests": {"enabled": False},
        "operator": {"podDisruptionBudget": {"enabled": False}},
    },
    "long names": {"fullnameOverride": "x" * 40, "dashboards": {"enabled": True}},
    "a GPU pool": {"defaults": {"worker": GPU_POOL}},
    "digests": {
        "images": {"worker": {"repository": "reg.example.com:5000/w", "tag": "sha256:" + "0" * 64}}
    },
    "null fields": {"operator": {"resources": {"limits": {"memory": None}}}},
}
