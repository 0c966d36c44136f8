"""The Python side of a plugin worker.

Offers a module `aimm.plugins`, so that plugin modules written for AIMM load unchanged, and serves calls on
standard input and output. Frames: u32 BE header length, u32 BE blob length, header (JSON), blob. Whatever
plugins print goes to standard error.
"""

import abc
import base64
import importlib
import json
import math
import os
import struct
import sys
import traceback
import types

_plugins = {}
_traits = {}


class Model(abc.ABC):
    """Base class of models that are registered as a whole with `model`."""

    @abc.abstractmethod
    def fit(self, *args, **kwargs):
        """Train; the updated instance."""

    @abc.abstractmethod
    def predict(self, *args, **kwargs):
        """A prediction."""

    @abc.abstractmethod
    def serialize(self):
        """The instance as bytes."""

    @classmethod
    @abc.abstractmethod
    def deserialize(cls, instance_bytes):
        """The instance of such bytes."""


def _declare(kind, keys, function, **traits):
    for key in [keys] if isinstance(keys, str) else keys:
        if (kind, key) in _plugins:
            raise ValueError(f"{kind} plugin {key} is registered twice")
        _plugins[kind, key] = function
        _traits[kind, key] = traits
    return function


def data_access(name, state_cb_arg_name=None):
    return lambda f: _declare("data_access", name, f, state_cb=state_cb_arg_name)


def instantiate(model_type, state_cb_arg_name=None):
    return lambda f: _declare("instantiate", model_type, f, state_cb=state_cb_arg_name)


def fit(model_types, state_cb_arg_name=None, instance_arg_name=None):
    return lambda f: _declare("fit", model_types, f, state_cb=state_cb_arg_name, instance_arg=instance_arg_name)


def predict(model_types, state_cb_arg_name=None, instance_arg_name=None, pure=False):
    return lambda f: _declare(
        "predict", model_types, f, state_cb=state_cb_arg_name, instance_arg=instance_arg_name, pure=pure
    )


def serialize(model_types):
    return lambda f: _declare("serialize", model_types, f)


def deserialize(model_types):
    return lambda f: _declare("deserialize", model_types, f)


def model(cls):
    """Registers a class under `<module>.<name>`: constructor, fit, predict, serialize, deserialize."""
    key = f"{cls.__module__}.{cls.__name__}"
    _declare("instantiate", key, cls)
    _declare("fit", key, cls.fit)
    _declare("predict", key, cls.predict)
    _declare("serialize", key, cls.serialize)
    _declare("deserialize", key, cls.deserialize)
    return cls


_MISSING = {
    "data_access": "no data access plugin for name {}",
    "instantiate": "no instantiation plugin for model type {}",
}


def _find(kind, key):
    if (kind, key) not in _plugins:
        raise LookupError(_MISSING.get(kind, f"no {kind} plugin for model type {{}}").format(key))
    return _plugins[kind, key], _traits[kind, key]


def _with_state(traits, kwargs, state_cb):
    name = traits.get("state_cb")
    if not name:
        return kwargs
    if name in kwargs:
        raise ValueError("state cb already set")
    return {**kwargs, name: state_cb}


def _with_instance(traits, instance, args, kwargs):
    name = traits.get("instance_arg")
    if not name:
        return [instance, *args], kwargs
    if name in kwargs:
        raise ValueError("instance already set")
    return args, {**kwargs, name: instance}


def exec_data_access(name, state_cb=lambda state: None, *args, **kwargs):
    function, traits = _find("data_access", name)
    return function(*args, **_with_state(traits, kwargs, state_cb))


def exec_instantiate(model_type, state_cb=lambda state: None, *args, **kwargs):
    function, traits = _find("instantiate", model_type)
    return function(*args, **_with_state(traits, kwargs, state_cb))


def exec_fit(model_type, instance, state_cb=lambda state: None, *args, **kwargs):
    function, traits = _find("fit", model_type)
    args, kwargs = _with_instance(traits, instance, args, _with_state(traits, kwargs, state_cb))
    return function(*args, **kwargs)


def exec_predict(model_type, instance, state_cb=lambda state: None, *args, **kwargs):
    function, traits = _find("predict", model_type)
    args, kwargs = _with_instance(traits, instance, args, _with_state(traits, kwargs, state_cb))
    return instance, function(*args, **kwargs)


def exec_serialize(model_type, instance):
    return _find("serialize", model_type)[0](instance)


def exec_deserialize(model_type, instance_bytes):
    return _find("deserialize", model_type)[0](instance_bytes)


def unload_all():
    _plugins.clear()
    _traits.clear()


def initialize(conf):
    for name in conf.get("names", []):
        importlib.import_module(name)


def _install():
    """Makes `import aimm.plugins` find what stands above, also where AIMM itself is installed."""
    package = types.ModuleType("aimm")
    package.__path__ = []
    plugins = types.ModuleType("aimm.plugins")
    for name, value in list(globals().items()):
        if not name.startswith("_") and callable(value):
            setattr(plugins, name, value)
    package.plugins = plugins
    sys.modules["aimm"], sys.modules["aimm.plugins"] = package, plugins


# --- values ------------------------------------------------------------------------------------------------


def _decode(value):
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("type")
    if kind == "numpy_array":
        import numpy

        return numpy.array(value["data"], dtype=value.get("dtype"))
    if kind == "pandas_dataframe":
        import pandas

        return pandas.DataFrame.from_dict(value["data"])
    if kind == "pandas_series":
        import pandas

        return pandas.Series(value["data"])
    return {key: _decode(item) for key, item in value.items()}


def _encode(value):
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, (list, tuple, set)):
        return [_encode(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _encode(item) for key, item in value.items()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode()
    name = type(value).__name__
    if name == "ndarray":
        return {"type": "numpy_array", "data": _encode(value.tolist())}
    if name == "DataFrame":
        return {"type": "pandas_dataframe", "data": _encode(value.to_dict())}
    if name == "Series":
        return {"type": "pandas_series", "data": _encode(value.tolist())}
    if hasattr(value, "item"):
        return _encode(value.item())
    raise TypeError(f"a result of type {name} has no JSON form")


# --- frames ------------------------------------------------------------------------------------------------


class _Wire:
    def __init__(self):
        # The protocol keeps the real descriptors; plugins get /dev/null and standard error.
        self._in = os.fdopen(os.dup(0), "rb")
        self._out = os.fdopen(os.dup(1), "wb")
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(2, 1)

    def read(self):
        lengths = self._in.read(8)
        if len(lengths) < 8:
            return None, b""
        header, blob = struct.unpack(">II", lengths)
        return json.loads(self._in.read(header)), self._in.read(blob)

    def write(self, header, blob=b""):
        text = json.dumps(header, allow_nan=False).encode()
        self._out.write(struct.pack(">II", len(text), len(blob)) + text + blob)
        self._out.flush()


class _Cache:
    """The last decoded instances by id and version; a prediction on the same one skips decoding."""

    def __init__(self):
        self._entries = {}

    def get(self, key, model_type, blob):
        if key not in self._entries:
            self.put(key, exec_deserialize(model_type, blob))
        return self._entries[key]

    def put(self, key, instance):
        self._entries.pop((key[0], key[1] - 1), None)
        if len(self._entries) >= 8:
            self._entries.pop(next(iter(self._entries)))
        self._entries[key] = instance

    def drop(self, key):
        self._entries.pop(key, None)


def _call(wire, cache, header, blob):
    call, op, key = header["id"], header["op"], header["key"]
    args, kwargs = [_decode(a) for a in header["args"]], {k: _decode(v) for k, v in header["kwargs"].items()}

    def state_cb(value):
        wire.write({"t": "progress", "id": call, "value": _encode(value)})

    result = {"t": "result", "id": call, "value": None}
    if op == "data_access":
        result["value"] = _encode(exec_data_access(key, state_cb, *args, **kwargs))
        return wire.write(result)
    if op == "instantiate":
        instance = exec_instantiate(key, state_cb, *args, **kwargs)
        return wire.write({**result, "instance": True}, bytes(exec_serialize(key, instance)))
    place = (header["instance"]["id"], header["instance"]["version"])
    instance = cache.get(place, key, blob)
    # Until the call ends well, the instance may be half changed.
    cache.drop(place)
    if op == "fit":
        instance = exec_fit(key, instance, state_cb, *args, **kwargs)
        return wire.write({**result, "instance": True}, bytes(exec_serialize(key, instance)))
    instance, value = exec_predict(key, instance, state_cb, *args, **kwargs)
    result["value"] = _encode(value)
    if _traits["predict", key].get("pure"):
        cache.put(place, instance)
        return wire.write(result)
    after = bytes(exec_serialize(key, instance))
    if after == blob:
        cache.put(place, instance)
    return wire.write({**result, "instance": True}, after)


def _main():
    wire = _Wire()
    _install()
    hello, _ = wire.read()
    try:
        sys.path[:0] = [path for path in hello.get("path", []) if path not in sys.path]
        initialize({"names": hello["plugins"]})
    except BaseException as error:
        wire.write({"t": "error", "kind": "plugin", "message": f"{type(error).__name__}: {error}",
                    "traceback": traceback.format_exc()})
        sys.exit(1)
    manifest = [
        {"kind": kind, "key": key, "pure": bool(traits.get("pure"))} for (kind, key), traits in _traits.items()
    ]
    wire.write({"t": "ready", "v": 1, "manifest": manifest})
    cache = _Cache()
    while True:
        header, blob = wire.read()
        if header is None or header["t"] == "shutdown":
            return
        if header["t"] == "ping":
            wire.write({"t": "pong"})
        elif header["t"] == "call":
            try:
                _call(wire, cache, header, blob)
            except (Exception, KeyboardInterrupt) as error:
                message = str(error) or type(error).__name__
                wire.write({"t": "error", "id": header["id"], "kind": "plugin", "message": message,
                            "traceback": traceback.format_exc()})


if __name__ == "__main__":
    _main()
