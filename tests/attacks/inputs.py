"""Hostile texts and small files: mappings, names, recipes, studies, results. ``inputs.json`` has the line of each."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ticketkit.reading import MOST_DOTS, MOST_VALUES
from ticketkit.recipe import MOST_BYTES
from ticketkit.report.cells import MAX_BYTES

Contents = Mapping[str, str | bytes]

MAPPINGS: Mapping[str, str] = {
    "empty": "",
    "blank": "   ",
    "no target": "0:",
    "no source": ":0",
    "words": "zero:one",
    "negative": "0:0;1:-1",
    "plus sign": "0:+0",
    "fraction": "0:0.5",
    "superscript digit": "0:²",
    "arabic digits": "\u0660:\u0660",
    "full-width digit": "0:\uff10",
    "underscore in a number": "0:1_0",
    "empty entry": "0:0;;1:1",
    "empty part": "0:0,,1",
    "comma at the end": "0:0,",
    "semicolon at the end": "0:0;",
    "empty stage": "0:0||0:0",
    "nothing but bars": "|" * 100,
    "NUL": "0:0\0",
    "escape sequence": "0:\x1b[31m0",
    "line break for a semicolon": "0:0\n1:1",
    "text direction": "0:\u202e0",
    "lone surrogate": "0:\udcff",
    "number of a million digits": "0:" + "9" * 999_998,
    "number of too many digits": "0:100000",
    "unit too large": "0:99999",
    "target twice": "0:0;1:0",
    "target twice in an entry": "0:0,0",
    "gap": "0:0,2",
    "half a million units": "0:" + ",".join("0" * 400_000),
    "one unit too many": "0:" + ",".join(map(str, range(10_002))),
    "many stages": "|".join(["0:0"] * 200_000),
    "one stage too many": "|".join(["0:0"] * 1_001),
    "spaces": "0:0" + " " * 900_000 + "x",
    "too long": "0" * 10_000_000,
}

ARCHITECTURES: Mapping[str, str] = {
    "empty": "",
    "digits alone": "20",
    "depth of nine digits": "resnet999999999",
    "depth of seven digits": "resnet2000000",
    "depth of six digits": "resnet999999",
    "depth just too large": "resnet10004",
    "depth of a million digits": "resnet" + "9" * 10**6,
    "width too large": "resnet20-w1000000",
    "width zero": "resnet20-w0",
    "negative depth": "resnet-20",
    "superscript digit": "resnet²0",
    "arabic digits": "resnet\u0662\u0660",
    "full-width digits": "resnet\uff12\uff10",
    "line break": "resnet20\nx",
    "NUL": "resnet20\0",
    "escape sequence": "resnet\x1b[31m20",
    "text direction": "resnet20\u202e",
    "lone surrogate": "resnet20\udcff",
    "path": "../../etc/passwd",
    "million parts": "mlp-1-" + "-".join("1" * 10**6),
    "name too long once it is canonical": "mlp-784-" + "-".join(str(300 + part) for part in range(120)) + "-10",
    "run too long": "mlp-784-300x99999-10",
    "layer too wide": "mlp-784-999999-10",
    "too many inputs": "mlp-9999999-3-10",
    "too many classes": "mlp-784-3-9999999",
    "too many blocks": "vit99999-w64",
    "long variant": "resnet20-" + "a" * 500,
    "just too long": "r" * 1_001,
}

TARGETS: Mapping[str, str] = {
    "too deep": "999999",
    "negative": "-1",
    "superscript digit": "²",
    "control character": "56\x07",
    "nine digits": "999999999",
    "another family": "vgg16",
    "million digits": "5" * 10**6,
}

_OWN = 'name = "r"\nepochs = 2\nbatch = 8\nlr = 0.1\n'
_QUICK = 'base = "quick"\n'

RECIPES: Contents = {
    "no TOML": "epochs = ",
    "empty": "",
    "binary": b"\x00\x01\x02\xff" * 100,
    "UTF-16": "epochs = 3".encode("utf-16"),
    "Latin-1": 'name = "é"'.encode("latin-1"),
    "byte order mark": "\ufeffepochs = 3",
    "NUL": "epochs = 3\0",
    "too long": "#" * (MOST_BYTES + 1),
    "lists without end": "a = " + "[" * 100_000,
    "lists in lists": "a = " + "[" * 200 + "]" * 200,
    "tables without end": "a = " + "{a=" * 500,
    "just too deep": "milestones = " + "[" * 66 + "]" * 66,
    "key of 30,000 parts": "a." * 30_000 + "a = 1",
    "table of 40,000 parts": "[" + "a." * 40_000 + "a]",
    "lines of as many parts as may be": "".join(
        "".join(f"a{line}." for _ in range(MOST_DOTS)) + "b = 1\n" for line in range(180)
    ),
    "key twice": _OWN + "epochs = 3",
    "number of 5,000 digits": _QUICK + "epochs = 1" + "0" * 5_000,
    "number of 10,000 hexadecimal digits": _QUICK + "epochs = 0x" + "f" * 10_000,
    "rate of 400 digits": _QUICK + "lr = 1" + "0" * 400,
    "rate 1e999": _QUICK + "lr = 1e999",
    "rate nan": _QUICK + "lr = nan",
    "rate inf": _QUICK + "lr = inf",
    "rate negative": _QUICK + "lr = -0.1",
    "rate minus zero": _QUICK + "lr = -0.0",
    "rate as text": _QUICK + 'lr = "0.1"',
    "rate as truth value": _QUICK + "lr = true",
    "rate as list": _QUICK + "lr = [0.1]",
    "rate as time": _QUICK + "lr = 07:32:00",
    "epochs as truth value": _QUICK + "epochs = true",
    "epochs as fraction": _QUICK + "epochs = 1.0",
    "epochs as date": _QUICK + "epochs = 1979-05-27",
    "epochs as table": _QUICK + "[epochs]\na = 1",
    "epochs 10^12": _QUICK + "epochs = 1000000000000",
    "epochs 0": _QUICK + "epochs = 0",
    "batch 0": _QUICK + "batch = 0",
    "batch 1": _QUICK + "batch = 1",
    "batch 10^9": _QUICK + "batch = 1000000000",
    "momentum 1": _QUICK + "momentum = 1.0",
    "weight decay nan": _QUICK + "weight_decay = nan",
    "gamma 0": _QUICK + "gamma = 0",
    "gamma nan": _QUICK + "gamma = nan",
    "warm-up inf": _QUICK + "warmup = inf",
    "warm-up nan": _QUICK + "warmup = nan",
    "warm-up negative": _QUICK + "warmup = -1",
    "milestones falling": _QUICK + "milestones = [4, 2]",
    "milestones twice": _QUICK + "milestones = [2, 2]",
    "milestones negative": _QUICK + "milestones = [-1]",
    "milestones huge": _QUICK + "milestones = [10000000000]",
    "milestones many": _QUICK + "milestones = [" + "1," * 100_000 + "]",
    "crop huge": _QUICK + "crop = 100000",
    "crop negative": _QUICK + "crop = -1",
    "smoothing 1": _QUICK + "label_smoothing = 1",
    "schedule with an escape sequence": _QUICK + 'schedule = "\\u001b[31m"',
    "rewind negative": _QUICK + 'rewind = "-1ep"',
    "rewind in arabic digits": _QUICK + 'rewind = "٣ep"',
    "rewind of ten digits": _QUICK + 'rewind = "9999999999it"',
    "rewind as number": _QUICK + "rewind = 3",
    "rewind with a line break": _QUICK + 'rewind = "2ep\\n"',
    "name empty": _QUICK + 'name = ""',
    "name too long": _QUICK + f'name = "{"a" * 201}"',
    "name with an escape sequence": _QUICK + 'name = "a\\u001b[31mb"',
    "field unknown": _QUICK + "learning_rate = 1",
    "field misspelt": _QUICK + "epoch = 1",
    "field of control characters": _QUICK + '"\\u0007\\u202e" = 1',
    "field with a long name": _QUICK + "a" * 100_000 + " = 1",
    "fields by the thousand": _QUICK + "".join(f"a{number} = 1\n" for number in range(20_000)),
    "base as number": "base = 3",
    "base misspelt": 'base = "quik"',
    "base as path": 'base = "../quick"',
    "base itself": 'base = "r.toml"',
}

OVERRIDES: Mapping[str, str] = {
    "no value": "epochs",
    "no field": "=3",
    "empty value": "epochs=",
    "second line": "epochs=1\nlr=9",
    "lists without end": "lr=" + "[" * 100_000,
    "nan": "lr=nan",
    "minus infinity": "lr=-inf",
    "superscript digit": "epochs=²",
    "arabic digit": "lr=\u0660",
    "fraction": "epochs=1e3",
    "truth value": "epochs=true",
    "control character": "name=a\x1bb",
    "open list": "milestones=[1,2",
    "dotted field": "a.b=1",
    "number of 5,000 digits": "batch=" + "9" * 5_000,
    "number in quotation marks": "momentum='0.9'",
    "date": "lr=1979-05-27",
    "very long": "x" * 100_000,
}

_GRID = 'sources = ["resnet20"]\ntargets = ["resnet32"]\nsparsities = [0.8]\n'
_LARGE = (
    'sources = ["resnet14", "resnet20"]\nsparsities = ['
    + ",\n".join(f"0.{number:03d}" for number in range(1, 500))
    + "]\ntargets = ["
    + ", ".join(f'"resnet{6 * number + 2}"' for number in range(1, 100))
    + "]\nseeds = 10"
)

STUDIES: Contents = {
    "empty": "",
    "no TOML": "x =",
    "too long": "#" * (MOST_BYTES + 1),
    "UTF-16": _GRID.encode("utf-16"),
    "lists without end": _GRID + "a = " + "[" * 100_000,
    "title of tables in tables": _GRID + "title." + "a." * 200 + "b = 1",
    "title of fewer tables in tables": _GRID + "title." + "a." * 60 + "b = 1",
    "title with an escape sequence": _GRID + 'title = "a\\u001b[31m"',
    "title too long": _GRID + f'title = "{"a" * 201}"',
    "title as date": _GRID + "title = 1979-05-27",
    "field misspelt": _GRID + "seed = 3",
    "field of a control character": _GRID + '"\\u001b" = 3',
    "field twice": _GRID + _GRID,
    "million seeds": _GRID + "seeds = 1000000",
    "seeds by the thousand": _GRID + f"seeds = [{','.join(map(str, range(40_000)))}]",
    "no seeds": _GRID + "seeds = 0",
    "seeds negative": _GRID + "seeds = -1",
    "seeds as truth value": _GRID + "seeds = true",
    "seeds of 4,000 digits": _GRID + "seeds = 1" + "0" * 4_000,
    "seeds of 9,000 hexadecimal digits": _GRID + "seeds = 0x" + "f" * 9_000,
    "seed too large": _GRID + "seeds = [9007199254740992]",
    "seed nan": _GRID + "seeds = [nan]",
    "arms by the thousand": _GRID + f"arms = [{','.join(f'{chr(34)}a{number}{chr(34)}' for number in range(20_000))}]",
    "connect by the thousand": _GRID + "connect = [" + '"ticket",' * 20_000 + "]",
    "too many trainings": _LARGE,
    "sparsity nan": _GRID.replace("0.8", "nan"),
    "sparsity 1": _GRID.replace("0.8", "1"),
    "sparsity 0": _GRID.replace("0.8", "0"),
    "sparsity negative": _GRID.replace("0.8", "-0.5"),
    "sparsity as text": _GRID.replace("0.8", '"80 %"'),
    "margin inf": _GRID + "margin = inf",
    "rate nan": _GRID + "rate = nan",
    "points too many": _GRID + "points = 10000000",
    "multiplier too large": _GRID + "dst_multiplier = 1000000",
    "policy of a control character": _GRID + 'policies = [{ name = "\\u0007" }]',
    "policy with a long name": _GRID + f'policies = ["{"a" * 300}"]',
    "policies as lists": _GRID + "policies = [[[]]]",
    "source as number": _GRID.replace('["resnet20"]', "[3]"),
    "data of tables in tables": _GRID.replace('["resnet20"]', '[{ arch = "resnet20", data = { a.b.c = 1 } }]'),
    "data_dir with NUL": _GRID + 'data = { data_dir = "a\\u0000b" }',
    "data_dir empty": _GRID + 'data = { data_dir = "" }',
    "data_dir as number": _GRID + "data = { data_dir = 3 }",
    "limit of 21 digits": _GRID + "data = { limit = 100000000000000000000 }",
    "limit as truth value": _GRID + "data = { limit = true }",
    "image_size negative": _GRID + "data = { image_size = -8 }",
    "recipe out of range": _GRID + 'recipe = { base = "quick", epochs = 0 }',
    "recipe on a number": _GRID + "recipe = { base = 3 }",
    "recipe as number": _GRID + "recipe = 3",
}

_CELL = '"format":{"name":"ticketkit-cell","version":"1.0"}'
_INDEX = '"format":{"name":"ticketkit-study","version":"1.0"}'
_REPORT = '"format":{"name":"ticketkit-verify","version":"1.0"}'
_PLACE = '{"kind":"train","arm":"ticket","target":"resnet8","seed":0}'
_REST = f'"place":{_PLACE},"setting":{{}},"summary":""'

CELLS: Contents = {
    "empty": "",
    "binary": b"\xff\x00" * 10,
    "UTF-16": "{}".encode("utf-16"),
    "NUL": "{}\0",
    "two documents": "{}{}",
    "list": "[]",
    "number": "3",
    "cut short": "{" + _CELL,
    "nan": "{" + _CELL + ',"seconds":NaN}',
    "1e999": "{" + _CELL + ',"seconds":1e999}',
    "lists without end": "[" * 100_000,
    "lists in lists": "[" * 900 + "]" * 900,
    "tables without end": '{"a":' * 100_000,
    "setting too deep": "{" + _CELL + ',"setting":' + '{"a":' * 70 + "1" + "}" * 70 + "}",
    "as many lists as fit into a file": "[" + "[]," * (MAX_BYTES // 3 - 2) + "[]]",
    "as many texts as may be": "[" + '"aaaaaaaaaaaa",' * (MOST_VALUES - 2) + "1]",
    "number of 5,000 digits": "{" + _CELL + ',"total":1' + "0" * 5_000 + "}",
    "seconds of 400 digits": "{" + _CELL + ',"seconds":1' + "0" * 400 + f',"total":1,{_REST}}}',
    "newer version": "{" + _CELL.replace("1.0", "2.0") + "}",
    "version as list": '{"format":{"name":"ticketkit-cell","version":[1]}}',
    "version of 100,000 digits": '{"format":{"name":"ticketkit-cell","version":"' + "9" * 100_000 + '"}}',
    "no format": "{}",
    "format as list": '{"format":[]}',
    "name with an escape sequence": '{"format":{"name":"\\u001b[31m","version":"1.0"}}',
    "nothing but its format": "{" + _CELL + "}",
    "total as truth value": "{" + _CELL + f',"total":true,{_REST}}}',
    "total negative": "{" + _CELL + f',"total":-1,{_REST}}}',
}

CELL_FILES: Mapping[str, str] = {
    "above": "../c.json",
    "absolute": "/etc/passwd",
    "none": "",
    "above by a detour": "a/../../c.json",
    "with a line break": "a\nb",
    "with NUL": "a\0b",
    "lone surrogate": "\ud800",
    "the folder": ".",
}
"""What an index may call a cell's file."""

RESULTS: Contents = {
    "empty": "",
    "list": "[]",
    "another document": '{"a":1}',
    "UTF-16": "{}".encode("utf-16"),
    "newer version": "{" + _REPORT.replace("1.0", "2.0") + "}",
    "odd version": "{" + _REPORT.replace("1.0", "1.x") + "}",
    "version with an escape sequence": '{"format":{"name":"ticketkit-verify","version":"\\u001b[31m"}}',
    "nothing but its format": "{" + _REPORT + "}",
    "nan": "{" + _REPORT + ',"a":NaN}',
    "lists without end": "{" + _REPORT + ',"a":' + "[" * 100_000,
    "lists in lists": "{" + _REPORT + ',"a":' + "[" * 600 + "]" * 600 + "}",
    "wrapped too often": '{"result":' * 70 + "1" + "}" * 70,
    "number of 5,000 digits": "{" + _REPORT + ',"start_step":1' + "0" * 5_000 + "}",
    "newer connection": '{"format":{"name":"ticketkit-connect","version":"2.0"},"connections":[]}',
    "connection as number": '{"format":{"name":"ticketkit-connect","version":"1.0"},"connections":[3]}',
}


def index_of(file: str) -> str:
    """A study's index whose one cell has this file."""
    entry = '{"file":' + json.dumps(file) + f',"place":{_PLACE}}}'
    return "{" + _INDEX + f',"title":"t","arms":["ticket"],"reference":"imp","margin":0.005,"cells":[{entry}]}}'
