package pgtoc

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Write writes the table of contents as pg_dump would: for the Directory format the
// whole toc.dat, for Custom the head of the archive. It first checks that Read would
// take it; an error of that check comes before a byte is written.
func (t *TOC) Write(w io.Writer) error {
	if err := t.Check(); err != nil {
		return err
	}
	e := encoder{w: bufio.NewWriterSize(w, 64<<10)}
	e.header(t)
	for i := range t.Entries {
		e.entry(t, &t.Entries[i])
	}
	if err := e.w.Flush(); err != nil {
		return fmt.Errorf("write archive's table of contents: %w", err)
	}
	return nil
}

// Check returns an error where the table of contents could not be written so that
// Read gives it back.
func (t *TOC) Check() error {
	if err := t.Version.Check(); err != nil {
		return err
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: header: %s", ErrCorrupt, fmt.Sprintf(format, args...))
	}
	switch {
	case t.IntSize != 4 || t.OffSize != 4 && t.OffSize != 8:
		return bad("integers of %d and offsets of %d bytes", t.IntSize, t.OffSize)
	case t.Format != Custom && t.Format != Directory:
		return bad("no such format: %d", t.Format)
	case t.Compression > Zstd:
		return bad("no such compression: %d", uint8(t.Compression))
	case t.Version.HasMethod():
	case t.Compression > Gzip:
		return bad("archive version %s has no %s", t.Version, t.Compression)
	case t.Level < -1 || t.Level > 9:
		return bad("compression level %d", t.Level)
	}
	if len(t.Entries) > maxEntries {
		return bad("%d entries", len(t.Entries))
	}
	for _, f := range t.Created.fields() {
		if *f == math.MinInt32 {
			return bad("the creation time holds %d", *f)
		}
	}
	size, deps := 0, 0
	for _, s := range []string{t.DBName, t.ServerVersion, t.DumpVersion} {
		size += len(s)
		if strings.IndexByte(s, 0) >= 0 {
			return bad("a string holds a zero byte")
		}
	}
	for i := range t.Entries {
		e := &t.Entries[i]
		if err := e.check(t); err != nil {
			return fmt.Errorf("%w: entry %d (dump ID %d): %w", ErrCorrupt, i+1, e.ID, err)
		}
		deps += len(e.Deps)
		size += e.size()
	}
	if size > maxStrings || deps > maxDeps {
		return bad("%d bytes of strings, %d dependencies", size, deps)
	}
	return t.checkIDs()
}

func (e *Entry) strings() [10]string {
	return [...]string{e.Tag, e.Desc, e.Defn, e.DropStmt, e.CopyStmt, e.Namespace, e.Tablespace, e.TableAM, e.Owner, e.File}
}

// size counts the bytes that Read counts as strings.
func (e *Entry) size() int {
	n := len(withOIDs(e.WithOIDs)) + len(decimal(e.CatalogID[0])) + len(decimal(e.CatalogID[1]))
	for _, s := range e.strings() {
		n += len(s)
	}
	for _, d := range e.Deps {
		n += len(decimal(uint32(d)))
	}
	return n
}

func (e *Entry) check(t *TOC) error {
	switch {
	case e.ID <= 0:
		return fmt.Errorf("%d is no dump ID", e.ID)
	case e.Section < SectionNone || e.Section > PostData:
		return fmt.Errorf("no such section: %d", uint8(e.Section))
	case e.Relkind > 127:
		return fmt.Errorf("relkind %d", e.Relkind)
	case e.TableAM != "" && !t.Version.HasTableAM(), e.Relkind != 0 && !t.Version.HasRelkind():
		return fmt.Errorf("archive version %s has no place for the access method or the relkind", t.Version)
	}
	for _, s := range e.strings() {
		if strings.IndexByte(s, 0) >= 0 {
			return fmt.Errorf("a string holds a zero byte")
		}
	}
	for _, d := range e.Deps {
		if d <= 0 {
			return fmt.Errorf("dependency on %d, which is no dump ID", d)
		}
	}
	if t.Format == Custom {
		switch {
		case e.File != "":
			return fmt.Errorf("a custom-format archive has no files")
		case e.DataState < OffsetUnset || e.DataState > NoData:
			return fmt.Errorf("no such state of an offset: %d", e.DataState)
		case t.OffSize == 4 && e.Offset > math.MaxUint32:
			return fmt.Errorf("offset %d in 4 bytes", e.Offset)
		}
		return nil
	}
	if e.File == "" {
		return nil
	}
	return CheckFile(e.File)
}

// encoder writes the archive's fields. bufio.Writer keeps the first error.
type encoder struct{ w *bufio.Writer }

func (e encoder) byte(b byte) { _ = e.w.WriteByte(b) }

func (e encoder) int(n int32) {
	var b [5]byte
	m := int64(n)
	if m < 0 {
		b[0], m = 1, -m
	}
	binary.LittleEndian.PutUint32(b[1:], uint32(m))
	_, _ = e.w.Write(b[:])
}

func (e encoder) bool(v bool) {
	if v {
		e.int(1)
	} else {
		e.int(0)
	}
}

func (e encoder) str(s string) {
	e.int(int32(len(s)))
	_, _ = e.w.WriteString(s)
}

func (e encoder) null() { e.int(-1) }

func (e encoder) nullable(s string, null, bit Null) {
	if s == "" && null&bit != 0 {
		e.null()
		return
	}
	e.str(s)
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func withOIDs(v bool) string { return strconv.FormatBool(v) }

func (e encoder) header(t *TOC) {
	_, _ = e.w.WriteString(magic)
	for _, b := range []byte{t.Version.Major, t.Version.Minor, t.Version.Rev, t.IntSize, t.OffSize, byte(t.Format)} {
		e.byte(b)
	}
	switch {
	case t.Version.HasMethod():
		e.byte(byte(t.Compression))
	case t.Compression == None:
		e.int(0)
	case t.Level == 0:
		e.int(-1)
	default:
		e.int(t.Level)
	}
	for _, f := range t.Created.fields() {
		e.int(*f)
	}
	e.nullable(t.DBName, t.Null, NullDBName)
	e.nullable(t.ServerVersion, t.Null, NullServerVersion)
	e.nullable(t.DumpVersion, t.Null, NullDumpVersion)
	e.int(int32(len(t.Entries)))
}

func (e encoder) entry(t *TOC, en *Entry) {
	e.int(en.ID)
	e.bool(en.HadDumper)
	e.str(decimal(en.CatalogID[0]))
	e.str(decimal(en.CatalogID[1]))
	e.str(en.Tag)
	e.str(en.Desc)
	e.int(int32(en.Section))
	e.nullable(en.Defn, en.Null, NullDefn)
	e.nullable(en.DropStmt, en.Null, NullDropStmt)
	e.nullable(en.CopyStmt, en.Null, NullCopyStmt)
	e.nullable(en.Namespace, en.Null, NullNamespace)
	e.nullable(en.Tablespace, en.Null, NullTablespace)
	if t.Version.HasTableAM() {
		e.nullable(en.TableAM, en.Null, NullTableAM)
	}
	if t.Version.HasRelkind() {
		e.int(int32(en.Relkind))
	}
	e.nullable(en.Owner, en.Null, NullOwner)
	e.str(withOIDs(en.WithOIDs))
	for _, d := range en.Deps {
		e.str(decimal(uint32(d)))
	}
	e.null()
	if t.Format == Custom {
		e.byte(byte(en.DataState))
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], en.Offset)
		_, _ = e.w.Write(b[:t.OffSize])
		return
	}
	e.str(en.File)
}
