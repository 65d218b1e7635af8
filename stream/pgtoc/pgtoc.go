// Package pgtoc reads and writes pg_dump's table of contents: the file toc.dat of
// a directory archive, and the head of a custom-format archive. It knows the
// archive versions 1.12 to 1.16 (PostgreSQL 9.0 to 18), gives back byte for byte
// what it read, and arranges the data entries of an archive so that stock
// pg_restore loads them.
//
// It may import the standard library alone. It never opens a file, never talks to a
// database, never runs a program, and trusts nothing of what it reads.
package pgtoc

import (
	"errors"
	"fmt"
	"time"
)

// Why an archive is refused. Errors of Read and Write wrap at most one of these.
var (
	// ErrNotArchive: the input doesn't begin as pg_dump's archives do.
	ErrNotArchive = errors.New("not a pg_dump archive")
	// ErrVersion: an archive version that this package doesn't know.
	ErrVersion = errors.New("unsupported archive version")
	// ErrCorrupt: the input begins as an archive and then breaks the format's rules. Where
	// it only ends too early the error wraps io.ErrUnexpectedEOF as well.
	ErrCorrupt = errors.New("corrupt archive")
)

// The bounds of what is accepted. They are far beyond what pg_dump writes of real
// databases and keep a forged length from costing memory.
const (
	maxEntries  = 10_000_000
	maxStrings  = 1 << 30 // bytes of all strings together
	maxDeps     = 10_000_000
	maxFileName = 240 // what file systems take, less a compression's suffix
)

// Version is the version of the archive format; it is not PostgreSQL's.
type Version struct{ Major, Minor, Rev uint8 }

// The versions.
var (
	V1_12 = Version{1, 12, 0} // PostgreSQL 9.0 to 10.2
	V1_13 = Version{1, 13, 0} // 10.3 to 11, and minor releases of that time
	V1_14 = Version{1, 14, 0} // 12 to 15
	V1_15 = Version{1, 15, 0} // 16
	V1_16 = Version{1, 16, 0} // 17 and 18
)

// String returns the version as pg_restore -l prints it.
func (v Version) String() string { return fmt.Sprintf("%d.%d-%d", v.Major, v.Minor, v.Rev) }

// Known says whether this package reads and writes the version.
func (v Version) Known() bool { return v.Major == 1 && v.Minor >= 12 && v.Minor <= 16 }

// AtLeast says whether v is o or later, revisions aside.
func (v Version) AtLeast(o Version) bool {
	return v.Major > o.Major || v.Major == o.Major && v.Minor >= o.Minor
}

// HasTableAM says whether entries name a table access method.
func (v Version) HasTableAM() bool { return v.AtLeast(V1_14) }

// HasMethod says whether the header names a compression method rather than gzip's
// level alone.
func (v Version) HasMethod() bool { return v.AtLeast(V1_15) }

// HasRelkind says whether entries hold a relkind, and large objects are grouped
// under BLOB METADATA entries.
func (v Version) HasRelkind() bool { return v.AtLeast(V1_16) }

// Check returns an error that wraps ErrVersion where the version is not known.
func (v Version) Check() error {
	if v.Known() {
		return nil
	}
	return fmt.Errorf("%w %s: versions 1.12 to 1.16 are known, which pg_dump of PostgreSQL 9.0 to 18 writes", ErrVersion, v)
}

// Format is the code of the archive's format.
type Format uint8

// The formats that hold a table of contents.
const (
	// Custom is the single file of pg_dump -Fc.
	Custom Format = 1
	// Directory is the code in a directory archive's toc.dat. It is the tar format's:
	// pg_dump writes the one file for both.
	Directory Format = 3
)

// Compression is a method of compression in the archive's numbering.
type Compression uint8

// The compressions. Archive versions before 1.15 know None and Gzip alone.
const (
	None Compression = iota
	Gzip
	LZ4
	Zstd
)

var compressionNames = [...]string{"none", "gzip", "lz4", "zstd"}

// String returns the compression's name in pg_dump's words.
func (c Compression) String() string {
	if int(c) < len(compressionNames) {
		return compressionNames[c]
	}
	return fmt.Sprintf("compression(%d)", uint8(c))
}

// ParseCompression returns the compression of a name in pg_dump's words.
func ParseCompression(name string) (Compression, error) {
	for i, n := range compressionNames {
		if n == name {
			return Compression(i), nil
		}
	}
	return 0, fmt.Errorf("no such compression: %q", name)
}

// Suffix is what the compression adds to the name of a data file on disk. pg_restore
// goes by it and not by the header.
func (c Compression) Suffix() string {
	switch c {
	case Gzip:
		return ".gz"
	case LZ4:
		return ".lz4"
	case Zstd:
		return ".zst"
	}
	return ""
}

// Clock is a moment as the archive keeps it: the fields of C's struct tm, in
// the zone of the machine that wrote it.
type Clock struct {
	Sec, Min, Hour, Day int32
	Month               int32 // 0 to 11
	Year                int32 // since 1900
	IsDST               int32
}

// ClockOf returns the archive's form of t, in t's own zone.
func ClockOf(t time.Time) Clock {
	c := Clock{
		Sec: int32(t.Second()), Min: int32(t.Minute()), Hour: int32(t.Hour()),
		Day: int32(t.Day()), Month: int32(t.Month()) - 1, Year: int32(t.Year()) - 1900,
	}
	if t.IsDST() {
		c.IsDST = 1
	}
	return c
}

// Time returns the moment, read in the zone loc: the archive doesn't name its own.
func (c Clock) Time(loc *time.Location) time.Time {
	return time.Date(int(c.Year)+1900, time.Month(c.Month)+1, int(c.Day), int(c.Hour), int(c.Min), int(c.Sec), 0, loc)
}

// Null is a set of string fields that are NULL in the archive rather than empty. A
// field that holds a string is written as that string, whatever the set says.
type Null uint16

// The fields of an entry and of the header that may be NULL.
const (
	NullDefn Null = 1 << iota
	NullDropStmt
	NullCopyStmt
	NullNamespace
	NullTablespace
	NullTableAM
	NullOwner
	NullDBName
	NullServerVersion
	NullDumpVersion
)

// TOC is a table of contents: the header and the entries, in restore order.
type TOC struct {
	Version Version
	// IntSize and OffSize are the sizes of the writer's integers and file offsets:
	// 4 and 8 on every machine that matters.
	IntSize, OffSize uint8
	Format           Format
	Compression      Compression
	// Level is gzip's level before version 1.15, -1 for its default; nothing else keeps one.
	Level   int32
	Created Clock
	// DBName, ServerVersion and DumpVersion are the database, its server's version and
	// pg_dump's, as the two print theirs.
	DBName, ServerVersion, DumpVersion string
	Null                               Null
	Entries                            []Entry
}

// Entry is one object of the archive. Its strings are raw bytes, in the encoding
// that the ENCODING entry names.
type Entry struct {
	// ID is the dump ID, above 0 and unique in the archive.
	ID int32
	// HadDumper says that the object has data in the archive.
	HadDumper bool
	// CatalogID is the object's address in the source's catalog: the catalog
	// table's OID and the object's. Both are 0 where there is none.
	CatalogID [2]uint32
	// Tag is the object's name, Desc its kind.
	Tag, Desc string
	// Section is the entry's own section; see TOC.Sections for None.
	Section Section
	// Defn creates the object, DropStmt drops it, CopyStmt loads its rows.
	Defn, DropStmt, CopyStmt string
	Namespace, Tablespace    string
	TableAM                  string // since 1.14
	Relkind                  byte   // since 1.16
	Owner                    string
	// WithOIDs was a table's property before PostgreSQL 12.
	WithOIDs bool
	// Null holds the string fields above that are NULL.
	Null Null
	// Deps are the IDs of the entries that must come first. They may name entries
	// that the archive doesn't hold.
	Deps []int32
	// File is the data file's name without a compression's suffix, "" for none. It
	// is the Directory format's.
	File string
	// DataState and Offset say where the data stands in a Custom archive.
	DataState DataState
	Offset    uint64
}

// DataState says what the Offset of a Custom archive's entry is worth.
type DataState uint8

// The states.
const (
	OffsetUnset DataState = 1 // there is data, its place was not written down
	OffsetSet   DataState = 2
	NoData      DataState = 3
)
