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

# For each family: its files; the base of its paths; the functions that send (the method, or None where the first
# argument names it; where the path stands); and the functions that may use `requests` themselves.
FAMILIES = {
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


def calls_in(family, path, tree, shared):
    constants = {}
    for node in (*shared, *tree.body):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            constants.setdefault(node.targets[0].id, []).append(node.value)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for node in functions:
        function = Function(node, constants)
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
            if called not in family["senders"]:
                continue
            method, at = family["senders"][called]
            named = {keyword.arg: keyword.value for keyword in call.keywords}
            url = call.args[at] if len(call.args) > at else named.get("url") or named["target_uri"]
            if method is None:
                (method,) = function.texts(call.args[1] if len(call.args) > 1 else named["method"])
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
                for form in behind:
                    yield method, base + text + form, node.name


def main():
    family_name, *trees = sys.argv[1:]
    family = FAMILIES[family_name]
    found = {}
    versions = [given.split("=", 1) for given in trees]
    for version, folder in versions:
        drivers = pathlib.Path(folder) / "cinder/volume/drivers"
        shared = ast.parse((drivers / family["constants"]).read_text()).body if "constants" in family else []
        for path in family["files"]:
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
