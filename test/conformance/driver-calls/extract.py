#!/usr/bin/env python3
"""Lists every HTTP call that a driver of Cinder makes, out of its source: which method, which path, in which function.

    extract.py powerflex NAME=TREE [NAME=TREE ...] > powerflex.txt

The family is named as its pack is. TREE is a folder that holds cinder/volume/drivers; NAME says which version it is. What stands in a path by the time of
the call only becomes {placeholder}. A call whose path cannot be followed, and a use of `requests` that no wrapper
below accounts for, end the run: a list with a gap is no list.
"""

import ast
import itertools
import pathlib
import re
import sys

DELL = "dell_emc/"
NETAPP = "netapp/dataontap/"
HITACHI = "/ConfigurationManager/v1"

# For each family: its files; the base of its paths; the functions that send (the method, or None where the first
# argument names it; where the path stands); and the functions that may use `requests` themselves.
FAMILIES = {
    "hitachi": {
        "files": ["hitachi/hbsd_rest_api.py", "hitachi/hbsd_rest.py", "hitachi/hbsd_rest_fc.py", "hitachi/hbsd_rest_iscsi.py",
                  "hitachi/hbsd_replication.py", "hitachi/hbsd_common.py"],
        "base": "",
        "senders": {"_get_object": ("GET", 0), "_get_objects": ("GET", 0), "_add_object": ("POST", 0),
                    "_delete_object": ("DELETE", 0), "_invoke": ("PUT", 0), "_request": (None, 1)},
        "method_at": 0,
        "filled_in": {"{object_url}": HITACHI + "/objects/storages/{storage}",
                      "{service_url}": HITACHI + "/{storage}/services", "{base_url}": "/ConfigurationManager"},
        "own": {"_request": []},
        "inner": {"_request", "_get_object", "_get_objects", "_add_object", "_delete_object", "_invoke"},
    },
    "hpe-msa": {
        "files": ["stx/client.py", "stx/common.py", "stx/fc.py", "stx/iscsi.py", "san/hp/hpmsa_client.py",
                  "lenovo/lenovo_client.py", DELL + "powervault/client.py"],
        "base": "/api",
        "senders": {"_request": ("GET", 0)},
        "arguments_in_path": True,
        "own": {"_get_session_key": [("GET", "/api/login/{digest}")], "_api_request": []},
        # The wrapper hands its own arguments on.
        "inner": {"_request"},
    },
    "oceanstor": {
        "files": ["huawei/rest_client.py", "huawei/common.py", "huawei/hypermetro.py", "huawei/replication.py",
                  "huawei/smartx.py", "huawei/huawei_driver.py"],
        "base": "/deviceManager/rest/{device_id}",
        "senders": {"call": (None, 0)},
        "method_at": 2,
        "own": {"init_http_head": []},
        "known": {"login": [("POST", "/deviceManager/rest/xx/sessions")],
                  "logout": [("DELETE", "/deviceManager/rest/{device_id}/sessions")]},
        "inner": {"do_call"},
    },
    "ontap": {
        "files": [NETAPP + "client/client_cmode_rest.py", NETAPP + "client/client_cmode_rest_asar2.py",
                  NETAPP + "client/api.py"],
        # The driver puts two slashes there, but for the path of a job, which it takes from an answer.
        "base": "/api/",
        "senders": {"send_request": (None, 0)},
        "method_at": 1,
        "query_of": "query",
        "own": {"_build_session": []},
        "known": {"_wait_job_result": [("GET", "/api//cluster/jobs/{job_id}")]},
        "inner": {"send_request", "get_records", "_wait_job_result", "_waiter", "invoke_successfully"},
    },
    "ontap-zapi": {
        "files": [NETAPP + "client/client_base.py", NETAPP + "client/client_cmode.py"],
        "base": "/servlets/netapp.servlets.admin.XMLrequest_filer",
        "methods": {"send_request": 0, "send_iter_request": 0, "invoke_successfully": 0, "_invoke_vserver_api": 0},
        "elements": {"NaElement", "create_node_with_children"},
        "senders": {},
        "own": {},
        # The last one asks whether an API is there, and sends none but those that end in -get, -get-iter and -list-info.
        "inner": {"send_iter_request", "_invoke_vserver_api", "_check_cluster_api_legacy"},
    },
    "powerflex": {
        "files": [DELL + "powerflex/rest_client.py", DELL + "powerflex/driver.py", DELL + "powerflex/utils.py"],
        "base": "/api",
        "other_base": ("ec_request", "/dtapi"),
        "senders": {"execute_powerflex_get_request": ("GET", 0), "execute_powerflex_post_request": ("POST", 0)},
        "own": {"_refresh_token": [("GET", "/api/login")], "execute_powerflex_get_request": [],
                "execute_powerflex_post_request": [],
                # Up to 2025 it logged in and sent the refused call again.
                "_check_response": [("GET", "/api/login")]},
        "inner": set(),
    },
    "powermax": {
        "files": [DELL + "powermax/rest.py", DELL + "powermax/performance.py", DELL + "powermax/common.py",
                  DELL + "powermax/masking.py", DELL + "powermax/provision.py", DELL + "powermax/migrate.py",
                  DELL + "powermax/fc.py", DELL + "powermax/iscsi.py"],
        "constants": DELL + "powermax/utils.py",
        "base": "/univmax/restapi",
        "senders": {"get_request": ("GET", 0), "post_request": ("POST", 0), "request": (None, 0)},
        # These build the path of an array, a category, a type and a name; the name may stand at this place.
        "composers": {"get_resource": ("GET", 3), "create_resource": ("POST", None), "modify_resource": ("PUT", 5),
                      "delete_resource": ("DELETE", 3)},
        "own": {"_establish_rest_session": []},
        "inner": {"request", "get_request", "post_request", "get_resource", "create_resource", "modify_resource",
                  "delete_resource"},
    },
    "powerstore": {
        "files": [DELL + "powerstore/client.py", DELL + "powerstore/adapter.py", DELL + "powerstore/driver.py",
                  DELL + "powerstore/nfs.py"],
        "base": "/api/rest",
        "senders": {"_send_get_request": ("GET", 0), "_send_post_request": ("POST", 0),
                    "_send_patch_request": ("PATCH", 0), "_send_delete_request": ("DELETE", 0)},
        "own": {"_send_request": []},
        "inner": set(),
    },
    "solidfire": {
        "files": ["solidfire.py"],
        "base": "/json-rpc/{version}/",
        "methods": {"_issue_api_request": 0},
        "senders": {},
        "own": {"_issue_api_request": []},
        "inner": {"_issue_api_request"},
    },
}


class Unfollowed(Exception):
    pass


def name_of(node):
    """A placeholder's name for an expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return f"{name_of(node.value)}_{node.slice.value}"
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Call) and node.args:
        return name_of(node.args[0])
    return "value"


class Function:
    """The texts that an expression can be inside one function."""

    def __init__(self, node, constants):
        self.constants = constants
        self.assigned = {}
        self.items = {}
        for inner in ast.walk(node):
            if not isinstance(inner, ast.Assign) or len(inner.targets) != 1:
                continue
            target = inner.targets[0]
            if isinstance(target, ast.Name):
                self.assigned.setdefault(target.id, []).append(inner.value)
            elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
                self.items.setdefault(target.value.id, []).append((target.slice, inner.value))

    def texts(self, node, placeholder=True):
        if isinstance(node, ast.Constant):
            return [str(node.value)]
        if isinstance(node, ast.JoinedStr):
            parts = [[part.value] if isinstance(part, ast.Constant) else self.texts(part.value)
                     for part in node.values]
            return ["".join(chosen) for chosen in itertools.product(*parts)]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return [a + b for a in self.texts(node.left) for b in self.texts(node.right)]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            return [filled for text in self.texts(node.left, False) for filled in self.filled(text, node.right)]
        if isinstance(node, ast.IfExp):
            return self.texts(node.body, placeholder) + self.texts(node.orelse, placeholder)
        if isinstance(node, ast.Name):
            known = self.assigned.get(node.id) or self.constants.get(node.id)
            if known and all(is_text(value) for value in known):
                return list(dict.fromkeys(text for value in known for text in self.texts(value, placeholder)))
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "utils" and node.attr in self.constants:
            return self.texts(self.constants[node.attr][0])
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "build_uri":
            return self.built(node)
        if placeholder:
            return ["{%s}" % name_of(node)]
        raise Unfollowed(ast.unparse(node))

    def built(self, call):
        """PowerMax: a path out of named parts, in the order of its build_uri."""
        words = {keyword.arg: keyword.value for keyword in call.keywords}
        path = "" if "no_version" in words else "/{u4p_version}"
        forms = [path]
        for word in ("category", "resource_level", "resource_level_id", "resource_type", "resource_type_id", "resource",
                     "resource_id", "object_type", "object_type_id"):
            if word in words:
                forms = [form + "/" + text for form in forms for text in self.texts(words.pop(word))]
        if call.args or set(words) - {"no_version"}:
            raise Unfollowed(ast.unparse(call))
        return forms

    def composed(self, call, place):
        """PowerMax: what create_resource and its like make of their arguments."""
        words = {keyword.arg: keyword.value for keyword in call.keywords}
        name = words.get("resource_name") or (call.args[place] if place and len(call.args) > place else None)
        private = "private" in words and ast.unparse(words["private"]) != "False"
        names = [""] if name is None else ["/" + text for text in self.texts(name)]
        return [f"{'/private' if private else ''}/{{u4p_version}}/{category}/symmetrix/{{array}}/{kind}{rest}"
                for category in self.texts(call.args[1]) for kind in self.texts(call.args[2]) for rest in names]

    def filled(self, text, values):
        if "%(" in text and isinstance(values, ast.Dict):
            named = {key.value: self.texts(value) for key, value in zip(values.keys, values.values)}
            names = re.findall(r"%\((\w+)\)[sd]", text)
            for chosen in itertools.product(*(named[name] for name in names)):
                taken = iter(chosen)
                yield re.sub(r"%\(\w+\)[sd]", lambda _: next(taken), text)
            return
        items = values.elts if isinstance(values, ast.Tuple) else [values]
        if len(re.findall(r"%[sd]", text)) != len(items):
            raise Unfollowed(f"{text} % {ast.unparse(values)}")
        for chosen in itertools.product(*(self.texts(item) for item in items)):
            taken = iter(chosen)
            yield re.sub(r"%[sd]", lambda _: next(taken), text)


def is_text(node):
    """Whether an assigned value is a text that is built here, in place of an answer or an argument."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    if isinstance(node, ast.Call):
        return getattr(node.func, "attr", "") == "build_uri"
    if isinstance(node, ast.IfExp):
        return is_text(node.body) and is_text(node.orelse)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, (ast.Add, ast.Mod)) and (is_text(node.left) or isinstance(node.left, ast.Name))
    return isinstance(node, ast.JoinedStr)


def word_pairs(call, function):
    """Of `f(path, *args, size=1, **more)`: what stands behind the path, /size/{size}/{args}, in all its forms."""
    forms = [""]
    for keyword in call.keywords:
        if keyword.arg is not None:
            added = [f"/{keyword.arg.replace('_', '-')}/{text}" for text in function.texts(keyword.value)]
        else:
            (literal,) = function.assigned[keyword.value.id]
            first = "".join(f"/{key.value}/{function.texts(value)[0]}"
                            for key, value in zip(literal.keys, literal.values))
            later = function.items.get(keyword.value.id, [])
            added = [f"{first}/{key.value}/{function.texts(value)[0]}" for key, value in later] or [first]
        forms = [form + text for form in forms for text in added]
    for argument in call.args[1:]:
        forms = [form + "/" + text for form in forms for text in function.texts(argument)]
    return forms


def method_names(path, node, call, family, function, builders):
    """The methods that a call names in its body: as a text, or as the name of the element that it sends."""
    given = call.args[family["methods"][call.func.attr]] if call.args else call.keywords[0].value
    if isinstance(given, ast.Call) and is_element(given, family):
        given = given.args[0]
    elif isinstance(given, ast.Name):
        values = [value for value in function.assigned.get(given.id, ()) if isinstance(value, ast.Call)]
        elements = [value.args[0] for value in values if is_element(value, family)]
        for value in values:
            elements += built_in(builders.get(getattr(value.func, "attr", "")), family)
        if elements:
            return [text for element in elements for text in function.texts(element, False)]
    try:
        return function.texts(given, False)
    except Unfollowed as error:
        raise SystemExit(f"{path}: {node.name}: cannot follow {error}") from None


def built_in(builder, family):
    """The elements that a function of the driver may return."""
    if builder is None:
        return []
    returned = {node.value.id for node in ast.walk(builder)
                if isinstance(node, ast.Return) and isinstance(node.value, ast.Name)}
    return [node.value.args[0] for node in ast.walk(builder)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in returned
            and isinstance(node.value, ast.Call) and is_element(node.value, family)]


def is_element(call, family):
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name in family.get("elements", ())


def queries(given, function):
    """The members of a query that stands in a variable, or in the call itself."""
    if given is None:
        return ""
    dicts = [given] if isinstance(given, ast.Dict) else function.assigned.get(getattr(given, "id", ""), [])
    keys = [key.value for literal in dicts if isinstance(literal, ast.Dict) for key in literal.keys]
    keys += [key.value for key, _ in function.items.get(getattr(given, "id", ""), []) if isinstance(key, ast.Constant)]
    return "?" + "&".join(f"{key}={{{key.replace('.', '_')}}}" for key in dict.fromkeys(keys)) if keys else ""


def calls_in(family, path, tree, shared):
    constants = {}
    for node in (*shared, *tree.body):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            constants.setdefault(node.targets[0].id, []).append(node.value)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    builders = {node.name: node for node in functions}
    for node in functions:
        function = Function(node, constants)
        for method, at in family.get("known", {}).get(node.name, ()):
            yield method, at, node.name
        for call in (inner for inner in ast.walk(node) if isinstance(inner, ast.Call)):
            called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            owner = call.func.value.id if isinstance(call.func, ast.Attribute) and isinstance(
                call.func.value, ast.Name) else None
            if owner == "requests" and called.lower() in ("get", "post", "put", "patch", "delete", "request", "session"):
                if node.name not in family["own"]:
                    raise SystemExit(f"{path}: {node.name} uses requests.{called}: teach the script its calls")
                for method, at in family["own"][node.name]:
                    yield method, at, node.name
            if node.name in family["inner"]:
                continue
            if called in family.get("composers", {}):
                method, place = family["composers"][called]
                for text in function.composed(call, place):
                    yield method, family["base"] + text, node.name
                continue
            if called in family.get("methods", {}):
                for name in method_names(path, node, call, family, function, builders):
                    yield "POST", f"{family['base']} {name}", node.name
                continue
            if called not in family["senders"]:
                continue
            method, at = family["senders"][called]
            named = {keyword.arg: keyword.value for keyword in call.keywords}
            url = call.args[at] if len(call.args) > at else named.get("url") or named["target_uri"]
            if method is None:
                place = family.get("method_at", 1)
                (method,) = function.texts(call.args[place] if len(call.args) > place else named["method"])
                method = method.upper()
            base = family["base"]
            switch, other = family.get("other_base", (None, None))
            if any(keyword.arg == switch and ast.unparse(keyword.value) == "True" for keyword in call.keywords):
                base = other
            try:
                texts = function.texts(url, False)
            except Unfollowed as error:
                raise SystemExit(f"{path}: {node.name}: cannot follow {error}") from None
            behind = word_pairs(call, function) if family.get("arguments_in_path") else [""]
            for text in texts:
                # What is filled in by the wrapper: %(name)s.
                text = re.sub(r"%\((\w+)\)s", r"{\1}", text)
                for filler, known in family.get("filled_in", {}).items():
                    text = text.replace(filler, known)
                query = queries(named.get(family.get("query_of")), function) if method != "GET" else ""
                for form in behind:
                    yield method, base + text + form + query, node.name


def main():
    family_name, *trees = sys.argv[1:]
    family = FAMILIES[family_name]
    found = {}
    versions = [given.split("=", 1) for given in trees]
    for version, folder in versions:
        drivers = pathlib.Path(folder) / "cinder/volume/drivers"
        shared = ast.parse((drivers / family["constants"]).read_text()).body if "constants" in family else []
        for path in family["files"]:
            # Some came with later versions; one that is in none is a slip.
            if not (drivers / path).exists() and any((pathlib.Path(other) / "cinder/volume/drivers" / path).exists()
                                                     for _, other in versions):
                continue
            tree = ast.parse((drivers / path).read_text())
            for method, target, function in calls_in(family, path, tree, shared):
                entry = found.setdefault((target, method), {"at": [], "in": []})
                for key, value in (("at", f"{path}:{function}"), ("in", version)):
                    if value not in entry[key]:
                        entry[key].append(value)
    print(f"# What the drivers of the family {family_name} call, by extract.py out of Cinder {', '.join(v for v, _ in versions)}.")
    print("# method and path | versions | files and functions")
    for (target, method), entry in sorted(found.items()):
        print(f"{method} {target} | {' '.join(entry['in'])} | {' '.join(entry['at'])}")

main()
