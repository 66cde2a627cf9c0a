"""The checker of tests/layers.py, on made-up trees."""
import pathlib
import tempfile
import unittest

import layers

TABLE = """
error:
tool files: error
event: error files   # reads files
graph: error event
learn/nn: torch graph
cli: graph
cli/train.cpp: cli learn/nn
"""


class Layers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.source = pathlib.Path(folder.name)
        self.rows = layers.read_table(TABLE)
        for name in ("error", "event", "graph"):
            self.write(f"include/starling/{name}.h", "")
        self.write("src/files/files.h", "")
        self.write("src/event/csv.h", "")

    def write(self, file, *includes):
        path = self.source / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"#include {include}\n" for include in includes if include))

    def faults(self):
        return layers.faults(self.source, self.rows)

    def expect_fault(self, *words):
        found = self.faults()
        self.assertEqual(len(found), 1, found)
        for word in words:
            self.assertIn(word, found[0])

    def test_what_the_table_allows(self):
        self.write("src/event/read.cpp", '"starling/event.h"', '"event/csv.h"', '"files/files.h"', "<vector>", "<sys/stat.h>")
        self.write("src/graph/host/graph.cpp", '"starling/graph.h"', "<starling/event.h>")
        self.write("learn/nn/network.cpp", "<torch/torch.h>", '"starling/graph.h"')
        self.write("cli/main.cpp", '"report.h"', '"starling/graph.h"')
        self.write("cli/report.h")
        self.write("cli/train.cpp", '"report.h"', '"learn/nn/network.h"')
        self.assertEqual(self.faults(), [])

    def test_order(self):
        self.write("src/event/read.cpp", "", '"starling/graph.h"')
        self.expect_fault("src/event/read.cpp:1", "event may not include graph")

    def test_order_of_public_headers(self):
        self.write("include/starling/event.h", '"starling/graph.h"')
        self.expect_fault("include/starling/event.h:1", "event may not include graph")

    def test_earlier_row_that_is_not_listed(self):
        self.write("cli/main.cpp", '"starling/event.h"')
        self.expect_fault("cli may not include event")

    def test_private_header(self):
        self.write("src/graph/graph.cpp", '"event/csv.h"')
        self.expect_fault("private to event")

    def test_private_header_in_a_public_one(self):
        self.write("include/starling/event.h", '"files/files.h"')
        self.expect_fault("a public header includes a private one")

    def test_torch_in_the_core(self):
        for header in ("torch/torch.h", "ATen/ATen.h", "c10/util/Half.h"):
            self.write("src/graph/graph.cpp", f"<{header}>")
            self.expect_fault("graph does not know torch")

    def test_learn_in_the_core_and_in_the_program(self):
        self.write("learn/nn/network.h")
        self.write("src/graph/graph.cpp", '"learn/nn/network.h"')
        self.expect_fault("graph may not include learn/nn")
        self.write("src/graph/graph.cpp")
        self.write("cli/main.cpp", '"learn/nn/network.h"')
        self.expect_fault("cli may not include learn/nn")

    def test_python(self):
        self.write("learn/nn/network.cpp", "<torch/extension.h>")
        self.expect_fault("nothing knows Python")

    def test_folder_without_a_row(self):
        self.write("src/tracks/tracks.cpp")
        self.expect_fault("src/tracks/tracks.cpp: no row")

    def test_row_without_a_folder(self):
        self.assertNotIn("event", "".join(layers.unused(self.source, self.rows)))
        found = layers.unused(self.source, layers.read_table(TABLE + "tracks: error"))
        self.assertIn("tracks: no file is bound by this row", found[-1])

    def test_table_that_is_not_in_order(self):
        for table in ("a: b\nb:", "a: a", "a:\na:", "a"):
            with self.assertRaises(ValueError):
                layers.read_table(table)


if __name__ == "__main__":
    unittest.main()
