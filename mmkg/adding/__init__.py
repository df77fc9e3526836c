"""Files in: looked at, parsed in limited children, named, encoded, staged, and published in batches."""

from mmkg.adding.filling import Writer, fill_text
from mmkg.adding.reading import Readers
from mmkg.adding.report import AddReport, report_json
from mmkg.adding.run import Adder

__all__ = ["AddReport", "Adder", "Readers", "Writer", "fill_text", "report_json"]
