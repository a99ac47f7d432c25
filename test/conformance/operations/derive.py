"""Derives the list of an OpenStack API's operations from a checkout of its source. Run by hand:

    python3 test/conformance/operations/derive.py cinder CHECKOUT >test/conformance/operations/cinder.txt

Two sources are joined: the operations that the published API reference names (api-ref/source), and the routes and
actions in the code (cinder's router and extensions, nova's route list). Ironic's routes are made at run time, so for
it there is the reference, and what stands in UNNAMED. A line is: method, path, the action (only key of the body) or -, and "202" where the
reference says that the answer may be that. Facts are taken, no sentences.
"""

import ast
import pathlib
import re
import subprocess
import sys

# What the reference misprints, as the code has it.
MISPRINTS = {
    "v3/{project_id}/workers/cleanup": "/v3/{project_id}/workers/cleanup",
    "/v3/{project_id}/snapshot/{snapshot_id}/metadata/{key}": "/v3/{project_id}/snapshots/{snapshot_id}/metadata/{key}",
    "/v1/volume/connector/{volume_connector_id}": "/v1/volume/connectors/{volume_connector_id}",
    "/v1/volume/target/{volume_target_id}": "/v1/volume/targets/{volume_target_id}",
    "/v1/nodes/{node_ident}/bios/?detail=True": "/v1/nodes/{node_ident}/bios",
}
# What ironic's controllers have and its reference has not, read by hand.
UNNAMED = """
POST /v1/continue_inspection 202
POST /v1/events
GET /v1/nodes/{node_ident}/children
GET /v1/runbooks/{runbook_id}/traits
PUT /v1/runbooks/{runbook_id}/traits
DELETE /v1/runbooks/{runbook_id}/traits
PUT /v1/runbooks/{runbook_id}/traits/{trait}
DELETE /v1/runbooks/{runbook_id}/traits/{trait}
"""
PREFIX = {"cinder": "/v3/{project_id}", "nova": "/v2.1", "ironic": ""}
MEMBER = {"index": ("GET", ""), "create": ("POST", ""), "show": ("GET", "/{id}"), "update": ("PUT", "/{id}"), "delete": ("DELETE", "/{id}")}


def main(project, root):
    root = pathlib.Path(root)
    found = {}
    routes = {"cinder": cinder_routes, "nova": nova_routes}.get(project)
    coded = list(routes(root)) if routes else []
    actions = {action for _, _, action in coded}
    for method, path, action, accepted in reference(project, root):
        # The key of an action is guessed from the reference's table of parameters: the code must know it.
        if routes is None or action in actions:
            add(found, method, path, action, accepted)
    for method, path, action in coded:
        add(found, method, path, action, False)
    for line in UNNAMED.split("\n")[1:-1] if project == "ironic" else ():
        add(found, *line.split()[:2], None, line.endswith("202"))
    commit = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(f"# Operations of openstack/{project} at {commit or sys.argv[3]}, by derive.py.")
    for (_, method, action), (path, accepted) in sorted(found.items(), key=lambda entry: (entry[1][0], entry[0])):
        print(method, path, action or "-", *(["202"] if accepted else []))


def add(found, method, path, action, accepted):
    path = re.sub(r"\{([a-z0-9_-]+)\}", lambda name: "{" + name[1].replace("-", "_") + "}", path)
    path = path.rstrip("/") or "/"
    bare = re.sub(r"\{[^}]*\}", "{}", path)
    if bare.endswith("/action") and action is None:
        return
    known = found.get((bare, method, action or ""), (path, False))
    found[(bare, method, action or "")] = (known[0], known[1] or accepted)


def reference(project, root):
    """What stands below each `rest_method` up to the next."""
    for file in sorted((root / "api-ref/source").rglob("*.inc")):
        if "v2" in file.relative_to(root).parts:
            continue
        for section in file.read_text().split(".. rest_method::")[1:]:
            head, _, rest = section.partition("\n")
            method, path = head.split() or rest.split(None, 2)[:2]
            path = MISPRINTS.get(path, path)
            if project == "nova" and path != "/":
                path = "/v2.1" + path.removeprefix("/{api_version}")
            path = path.partition("?")[0]
            accepted = re.search(r"(::\s*success[^:]*?|[Nn]ormal response codes?:[^\n]*)\b202\b", rest) is not None
            action = None
            if path.endswith("/action"):
                names = re.findall(r"^\s*-\s*([\w-]+)\s*:\s*([\w.-]+)", rest.partition("rest_parameters::")[2], re.M)
                action = next((name for name, kind in names if not kind.endswith("_path") and not name.endswith("_id")), None)
                if action is None:
                    continue
            for each in ("GET", "POST", "PUT", "PATCH", "DELETE") if method == "METHOD" else (method,):
                yield each, path, action, accepted


class Module:
    """The classes of a module, the names that it imports, and what its `create_resource` wraps."""

    def __init__(self, root, name):
        self.name = name
        tree = ast.parse((root / (name.replace(".", "/") + ".py")).read_text())
        self.tree = tree
        self.classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        self.imports = {}
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                self.imports |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                self.imports |= {alias.asname: alias.name for alias in node.names if alias.asname}


def methods(root, module, name, seen=None):
    """The methods of a class and its bases, and the actions: key by function."""
    node = module.classes.get(name)
    if node is None:
        return set(), set()
    plain, actions = set(), set()
    for base in node.bases:
        if isinstance(base, ast.Attribute) and isinstance(base.value, ast.Name):
            target = module.imports.get(base.value.id, "")
            if (root / (target.replace(".", "/") + ".py")).is_file():
                more = methods(root, Module(root, target), base.attr)
                plain, actions = plain | more[0], actions | more[1]
        elif isinstance(base, ast.Name):
            more = methods(root, module, base.id)
            plain, actions = plain | more[0], actions | more[1]
    for item in node.body:
        if isinstance(item, ast.FunctionDef):
            keys = [call.args[0].value for call in calls(item.decorator_list, "action")]
            actions |= set(keys)
            if not keys:
                plain.add(item.name)
    return plain, actions


def calls(tree, name):
    nodes = tree if isinstance(tree, list) else [tree]
    for top in nodes:
        for node in ast.walk(top):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == name:
                yield node


def keyword(call, name, place=None):
    for word in call.keywords:
        if word.arg == name:
            return word.value
    return call.args[place] if place is not None and len(call.args) > place else None


def words(node):
    """A dict of texts, written as a literal or as dict(…)."""
    if isinstance(node, ast.Call):
        return {word.arg: word.value.value for word in node.keywords}
    return ast.literal_eval(node) if node is not None else {}


def resource(collection, own, collection_actions, member_actions, parent):
    prefix = PREFIX["cinder"]
    if parent:
        prefix += f"/{parent['collection_name']}/{{{parent['member_name']}_id}}"
    for name, (method, tail) in MEMBER.items():
        if name in own:
            yield method, f"{prefix}/{collection}{tail}"
    for name, method in collection_actions.items():
        if name in own:
            yield method, f"{prefix}/{collection}/{name}"
    for name, method in member_actions.items():
        if name in own:
            yield method, f"{prefix}/{collection}/{{id}}/{name}"


def cinder_routes(root):
    router = Module(root, "cinder.api.v3.router")
    actions_of = {}
    for call in calls(router.tree, "resource"):
        key = keyword(call, "controller")
        if not isinstance(key, ast.Subscript) and not isinstance(key, ast.Name):
            continue
        collection = call.args[1].value
        name = key.slice.value if isinstance(key, ast.Subscript) else key.id.removesuffix("_controller")
        module = next(
            Module(root, router.imports[made.func.value.id])
            for node in ast.walk(router.tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript) and node.targets[0].slice.value == name
            for made in calls(node, "create_resource")
        )
        made = next(calls(next(n for n in module.tree.body if getattr(n, "name", "") == "create_resource"), "Resource"))
        own, actions = methods(root, module, made.args[0].func.id)
        actions_of.setdefault(collection, set()).update(actions)
        for route in resource(collection, own, words(keyword(call, "collection")), words(keyword(call, "member")), words(keyword(call, "parent_resource"))):
            yield *route, None
    for file in sorted((root / "cinder/api/contrib").glob("[a-z]*.py")):
        module = Module(root, f"cinder.api.contrib.{file.stem}")
        text = file.read_text()
        alias = (re.search(r"^    alias = ['\"]([\w-]+)", text, re.M) or [None, None])[1]
        for call in calls(module.tree, "ResourceExtension"):
            first = call.args[0]
            collection = first.value if isinstance(first, ast.Constant) else alias
            made = call.args[1]
            name = made.func.id if isinstance(made, ast.Call) else re.search(rf"{made.id} = (\w+)\(", text)[1]
            own, _ = methods(root, module, name)
            for route in resource(collection, own, words(keyword(call, "collection_actions")), words(keyword(call, "member_actions")), words(keyword(call, "parent"))):
                yield *route, None
        for call in calls(module.tree, "ControllerExtension"):
            made = call.args[2]
            before = "\n".join(text.splitlines()[: call.lineno])
            name = made.func.id if isinstance(made, ast.Call) else re.findall(rf"\b{made.id} = (\w+)\(", before)[-1]
            for owner, collection in [(name, call.args[1])] if name in module.classes else loop_classes(module):
                actions_of.setdefault(collection.value, set()).update(methods(root, module, owner)[1])
    for collection, actions in actions_of.items():
        for action in actions:
            rest = MEMBER.get(action) if collection == "types" else None
            if rest is not None:
                yield rest[0], f"{PREFIX['cinder']}/{collection}{rest[1]}", None
            elif action == "create-from-src":
                yield "POST", f"{PREFIX['cinder']}/{collection}/action", action
            else:
                yield "POST", f"{PREFIX['cinder']}/{collection}/{{id}}/action", action


def loop_classes(module):
    """Classes that an extension instantiates in a loop carry their collection themselves."""
    for name, node in module.classes.items():
        for item in node.body:
            if isinstance(item, ast.Assign) and item.targets[0].id == "collection":
                yield name, item.value


def nova_routes(root):
    routes = Module(root, "nova.api.openstack.compute.routes")
    actions_of = {}
    for node in routes.tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            actions = set()
            for part in ast.walk(node.value):
                if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in routes.imports:
                    module = routes.imports[part.value.id]
                    if (root / (module.replace(".", "/") + ".py")).is_file():
                        actions |= methods(root, Module(root, module), part.attr)[1]
            actions_of[node.targets[0].id] = actions
    listed = next(n.value for n in routes.tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "ROUTE_LIST")
    for entry in listed.elts:
        path = entry.elts[0].value
        if not isinstance(entry.elts[1], ast.Dict):
            continue
        for method, target in zip(entry.elts[1].keys, entry.elts[1].values):
            if path.endswith("/action"):
                for action in actions_of[target.elts[0].id]:
                    yield method.value, PREFIX["nova"] + path, action
            else:
                yield method.value, PREFIX["nova"] + path, None


main(sys.argv[1], sys.argv[2])
