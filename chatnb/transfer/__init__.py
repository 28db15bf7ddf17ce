"""Import and export: sessions to files of several formats, and from one's own and others' files back."""

from __future__ import annotations

from chatnb.transfer.base import Format, Problem, Reader, Reading, formats
from chatnb.transfer.exporting import Exported, export
from chatnb.transfer.importing import Imported, import_

__all__ = ["Exported", "Format", "Imported", "Problem", "Reader", "Reading", "export", "formats", "import_"]
