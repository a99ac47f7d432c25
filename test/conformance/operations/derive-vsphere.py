"""Derives the lists of vSphere's SOAP methods. Run by hand:

    python3 test/conformance/operations/derive-vsphere.py PYVMOMI GOVMOMI ORIGIN

PYVMOMI is the folder pyVmomi of vmware/pyvmomi, GOVMOMI a checkout of vmware/govmomi, ORIGIN says which. Writes vim25.txt, pbm.txt,
sms.txt and vslm.txt beside this script. Names of methods, objects and parameters are taken, no sentences. What only govmomi
has (it is newer) has no object: its bindings do not say whom a method is sent to. A line is:

    METHOD OBJECT RESULT [TASK'S RESULT] | PARAMETER:TYPE … | PLACES

PLACES are paths of texts below the method that may name a file on a datastore, by the names of their last two elements.
"""

import ast
import pathlib
import re
import sys

SERVICES = {
    "vim25": (["core", "query", "vim"], ["methods", "unreleased"]),
    "pbm": (["pbm"], ["methods", "internal_methods"]),
    "sms": (["sms"], ["methods"]),
    "vslm": (["vslm"], ["methods"]),
}
DEPTH_MAX = 8
# Texts that name a file or a folder on a datastore, wherever they stand.
FILES = {
    "fileName", "vmPathName", "snapshotDirectory", "suspendDirectory", "logDirectory", "ftMetadataDirectory",
    "datastorePath", "configurationPath", "diskFilePath", "vmxPath", "vmConfigurationFilePath",
    "backingObjectId", "swapDirectory", "vmConfigFilePath", "snapshotDescriptor",
}
# Parameters that do so in these methods alone.
PARAMETERS = {
    "name": ("VirtualDisk", "DatastoreFile", "MakeDirectory", "ChangeOwner"),
    "sourceName": ("",), "destName": ("",), "destinationName": ("",), "vdisk": ("",),
    "path": ("RegisterVM", "RegisterChildVM", "RegisterDisk", "FromSnapshot", "QueryFileLockInfo", "HostRegisterDisk"),
}


def value(node):
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, (ast.Tuple, ast.List)):
        return [value(one) for one in node.elts]
    return None


def read_python(folder, names):
    managed, data, wire = {}, {}, {}
    for name in names:
        for node in ast.parse((folder / f"_typeinfo_{name}.py").read_text()).body:
            call = node.value if isinstance(node, ast.Expr) else None
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                continue
            if call.func.id not in ("CreateManagedType", "CreateDataType", "CreateEnumType"):
                continue
            given = [value(one) for one in call.args]
            wire[given[0]] = given[1]
            if call.func.id == "CreateManagedType":
                managed[given[0]] = given
            elif call.func.id == "CreateDataType":
                data[given[0]] = given
    return managed, data, wire


class Types:
    def __init__(self, managed, data, wire):
        self.managed, self.data, self.wire = managed, data, wire
        self.heirs = {}
        for name, given in data.items():
            self.heirs.setdefault(given[2], []).append(name)

    def fields(self, name):
        while name in self.data:
            yield from ((one[0], one[1]) for one in self.data[name][-1] or [] if isinstance(one, list))
            name = self.data[name][2]

    def family(self, name):
        yield name
        for heir in self.heirs.get(name, ()):
            yield from self.family(heir)

    def places(self, name, path, above):
        """Paths below a value of this type; what contains itself is followed once."""
        base = name.rstrip("[]")
        if base not in self.data or len(above) >= DEPTH_MAX or above.count(base) > 1:
            return set()
        found = set()
        for one in self.family(base):
            for field, kind in self.fields(one):
                if field in FILES and kind.rstrip("[]") == "string":
                    found.add(f"{path}/{field}")
                else:
                    found |= self.places(kind, f"{path}/{field}", above + [base])
        return found

    def shown(self, name):
        base = name.rstrip("[]")
        return self.wire.get(base, base.split(".")[-1]) + ("[]" if name.endswith("[]") else "")


def is_path(method, parameter, kind):
    known = PARAMETERS.get(parameter, ())
    return kind == "string" and (parameter in FILES or any(part in method for part in known))


def from_python(types):
    for given in types.managed.values():
        for one in given[-1] or []:
            if not isinstance(one, list) or len(one) < 6:
                continue
            _, name, _, parameters, (_, result, made), *_ = one
            places = {p for p, kind, *_ in parameters if is_path(name, p, kind)}
            for parameter, kind, *_ in parameters:
                places |= types.places(kind, parameter, [])
            shown = types.shown(result) if result == made else f"{types.shown(result)} {types.shown(made)}"
            yield name, given[1], shown, [(p, types.shown(kind)) for p, kind, *_ in parameters], places


def from_go(checkout, service, files):
    text = "".join((checkout / service / "methods" / f"{one}.go").read_text() for one in files)
    kinds = "".join(one.read_text() for one in (checkout / service / "types").glob("*types.go"))
    structs = dict(re.findall(r"^type (\w+) struct \{\n(.*?)^\}", kinds, re.M | re.S))
    named = dict(re.findall(r"^type (\w+) (\w+)$", kinds, re.M))
    for name in sorted(set(re.findall(rf'xml:"urn:{service} (\w+),omitempty"', text))):
        if name.endswith("Response"):
            continue
        go = re.search(rf'Req +\*types\.(\w+) +`xml:"urn:{service} {name},', text).group(1)
        body = structs.get(named.get(go, go), "")
        answer = structs.get(f"{go}Response", "")
        reference = re.search(r"Returnval +\*?(\S+)", answer)
        result = "void" if reference is None else reference.group(1).replace("types.", "")
        if result == "ManagedObjectReference" and name.endswith("_Task"):
            result = {"vim25": "Task", "sms": "SmsTask", "vslm": "VslmTask"}[service]
        fields = re.findall(r'^\t\w+ +(\S+) +`xml:"(\w+)[,"]', body, re.M)
        parameters = [(xml, kind.strip("*[]").replace("types.", "")) for kind, xml in fields if xml != "_this"]
        yield name, "-", result, parameters, {p for p, kind in parameters if is_path(name, p, kind)}


def main(python, go, origin):
    python, go = pathlib.Path(python), pathlib.Path(go)
    # The other services use types of vim25.
    whole = [read_python(python, names) for names, _ in SERVICES.values()]
    data = {key: one for _, known, _ in whole for key, one in known.items()}
    wire = {key: one for *_, known in whole for key, one in known.items()}
    for (service, (_, files)), (managed, _, _) in zip(SERVICES.items(), whole):
        found = {one[0]: one for one in from_go(go, service, files)}
        found.update((one[0], one) for one in from_python(Types(managed, data, wire)))
        out = pathlib.Path(__file__).parent / f"{service}.txt"
        lines = [f"# Methods of vSphere's {service} in {origin}, by derive-vsphere.py."]
        for name in sorted(found):
            _, owner, result, parameters, places = found[name]
            given = " ".join(f"{parameter}:{kind}" for parameter, kind in parameters)
            lines.append(f"{name} {owner} {result} | {given} | {' '.join(sorted(places))}".rstrip())
        out.write_text("\n".join(lines) + "\n")


main(*sys.argv[1:])
