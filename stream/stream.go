// Package stream holds the words that both sides of a move share, and the
// archive that carries them: sections, TOC entries, chunks, digests, the object
// store and the archive's layout (FORMAT.md).
//
// It imports nothing of pgmove, no database driver and no AWS: dump, restore and
// validate meet here and nowhere else. It never prints, never logs, never exits
// and never talks to a database.
package stream

import (
	"encoding/hex"
	"fmt"
)

// Section says at which stage of a restore an entry is applied. The names are
// pg_dump's, with sequences set apart from the data that they stand in there.
type Section uint8

// The sections, in the order in which they are restored.
const (
	// PreData creates what rows need: schemas, types, functions, tables.
	PreData Section = iota + 1
	// Sequences sets the sequences' positions.
	Sequences
	// Data loads rows and large objects.
	Data
	// PostData creates what is cheaper or safer after the rows: indexes,
	// constraints, triggers, policies.
	PostData
)

var sectionNames = [...]string{PreData: "pre-data", Sequences: "sequences", Data: "data", PostData: "post-data"}

// String returns the section's name as pg_dump's --section spells it.
func (s Section) String() string {
	if s >= PreData && s <= PostData {
		return sectionNames[s]
	}
	return fmt.Sprintf("section(%d)", uint8(s))
}

// MarshalText writes the name of the section.
func (s Section) MarshalText() ([]byte, error) {
	if s < PreData || s > PostData {
		return nil, fmt.Errorf("no such section: %d", uint8(s))
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads the name of a section.
func (s *Section) UnmarshalText(b []byte) error {
	for i, n := range sectionNames {
		if n != "" && n == string(b) {
			*s = Section(i)
			return nil
		}
	}
	return fmt.Errorf("no such section: %q", b)
}

// Pass orders what a restore does, beyond sections and dependencies.
type Pass uint8

// The passes, in their order.
const (
	// MainPass is for all that has no pass of its own.
	MainPass Pass = iota
	// ACLPass grants privileges, when all objects are there.
	ACLPass
	// RefreshPass fills materialized views, which needs the privileges.
	RefreshPass
	// DatabasePass sets properties of the database itself: they could change how
	// the sessions that come before behave.
	DatabasePass
	// LastPass creates what would react to all else: event triggers.
	LastPass
)

// DumpID numbers an entry within one dump. IDs start at 1.
type DumpID int32

// Entry is one entry of a table of contents: an object of the database, the SQL
// that makes it, and the entries that must be there first.
//
// For a database whose tools have a table of contents of their own (pg_dump's
// toc.dat) an Entry is one row of it. Strings are in the source's encoding.
type Entry struct {
	ID      DumpID  `json:"id"`
	Section Section `json:"section"`
	// Desc is the kind of object, in pg_dump's words: TABLE, INDEX, FK CONSTRAINT.
	Desc      Text `json:"desc"`
	Namespace Text `json:"namespace,omitempty"`
	// Tag is the object's name; for functions with its argument types.
	Tag   Text `json:"tag"`
	Owner Text `json:"owner,omitempty"`
	// Defn is the SQL that creates the object; it may hold several statements.
	Defn     Text `json:"defn,omitempty"`
	DropStmt Text `json:"drop,omitempty"`
	// CopyStmt is the statement that loads a data entry's rows.
	CopyStmt     Text     `json:"copy,omitempty"`
	Dependencies []DumpID `json:"deps,omitempty"`
	// Tablespace and AccessMethod name what the object was created under; "" is
	// the default.
	Tablespace   Text `json:"tablespace,omitempty"`
	AccessMethod Text `json:"am,omitempty"`
	// Pass says when, within its section, a restore comes to the entry.
	Pass Pass `json:"pass,omitempty"`
	// Locks are the data entries or tables that applying the entry locks; two
	// entries run at the same time only if no table is in both, or if both Share.
	Locks []DumpID `json:"locks,omitempty"`
	// Share marks an entry whose locks suffer others of the same kind: building
	// an index lets other indexes of the table be built.
	Share bool `json:"share,omitempty"`
	// Early marks the first stage of an entry that a target applies in two; an archive knows no stages.
	Early bool `json:"-"`
	// Secret marks an entry whose SQL may hold a password: it is never printed.
	Secret bool `json:"secret,omitempty"`
	// Relkind is the catalog's letter for a relation (r, p, v, m, f, S) where the
	// engine knows it; 0 elsewhere.
	Relkind byte `json:"relkind,omitempty"`
	// CatalogID is the object's address in the source's catalog: the catalog
	// table's OID and the object's. It means nothing on another server.
	CatalogID [2]uint32 `json:"catalog,omitempty"`
	// Table, for a data entry that loads rows: what is read, digested and
	// compared. Nil for all other entries.
	Table *Table `json:"table,omitempty"`
}

// Name is the object's qualified name for people to read: namespace.tag.
func (e *Entry) Name() string {
	if e.Namespace == "" {
		return e.Tag.Display()
	}
	return e.Namespace.Display() + "." + e.Tag.Display()
}

// Table says how the rows of one data entry are read on the source and again on
// the target, so that the two digests compare.
type Table struct {
	Namespace Text `json:"namespace"`
	Name      Text `json:"name"`
	// Columns are the columns copied, in order; generated columns are not among
	// them. Empty for a table without columns.
	Columns []Text `json:"columns,omitempty"`
	// Generated names the stored generated columns: the target computes them
	// anew, and the digest does not cover them.
	Generated []Text `json:"generated,omitempty"`
	// Filter is an SQL condition that rows must meet to be copied (an extension's
	// configuration table), with its leading WHERE; "" for all rows.
	Filter Text `json:"filter,omitempty"`
	// Root, for a partition that is loaded through its partition root, is that
	// root's data group: digests of all entries with the same Root add up and
	// compare as one. 0 elsewhere.
	Root DumpID `json:"root,omitempty"`
	// RootName is the qualified name of the root, for people to read.
	RootName Text `json:"root_name,omitempty"`
	// Bytes is the source's own estimate of the table's size on disk with its
	// TOAST; Rows its estimate of the rows, -1 where it has none.
	Bytes int64 `json:"bytes"`
	Rows  int64 `json:"rows"`
	// LargeObjects marks the one data entry that stands for all large objects.
	LargeObjects bool `json:"large_objects,omitempty"`
}

// Chunk is one range of one table, and one object in the store: the unit of
// work, of transfer and of retry.
type Chunk struct {
	// Table is the data entry the chunk belongs to.
	Table DumpID `json:"table"`
	// N counts the chunks of a table from 0; Of is how many there are.
	N  int `json:"n"`
	Of int `json:"of"`
	// ID is the chunk's own dump ID; for a table's only chunk the table's.
	ID DumpID `json:"id"`
	// Range is the SQL condition that selects the chunk's rows, in the source's
	// dialect; "" for the whole table.
	Range Text `json:"range,omitempty"`
	// Format is the form of the rows: FormatText, FormatBinary or FormatBlobs.
	Format string `json:"format"`
	// Key is the name of the chunk's object in the store.
	Key string `json:"key"`
	// Bytes estimates the chunk's size on the source's disk.
	Bytes int64 `json:"bytes"`
}

// The forms in which a chunk carries rows.
const (
	// FormatText is COPY's text format or, of MySQL and MariaDB, the text that LOAD DATA reads: a row a line. In both
	// a tab, a newline and a backslash that are data are escaped and NULL is \N, so that no two different rows are the same text.
	FormatText = "text"
	// FormatBinary is COPY's binary format.
	FormatBinary = "binary"
	// FormatBlobs is COPY's binary format of (oid, offset, piece) rows: large
	// objects cut in pieces of BlobPiece bytes. A durable archive keeps each
	// large object as an object of its own.
	FormatBlobs = "blobs"
	// FormatForeign is a form that another tool chose, in which rows can't be told apart here: INSERT statements, or what the
	// entry's CopyStmt loads. How many there are is what the target took. No archive of pgmove's own has it.
	FormatForeign = "foreign"
)

// BlobPiece is the size, in bytes, of the pieces that large objects are read,
// digested and written in. A large object's last piece may be shorter; an empty
// large object is one empty piece.
const BlobPiece = 256 << 10

// Record is what is known of a chunk once its object is complete.
type Record struct {
	Chunk
	Digest Digest `json:"digest"`
	// RawBytes counts the bytes of the rows as the database sent them.
	RawBytes int64 `json:"raw_bytes"`
	// Objects are the store's objects that hold the chunk; none in a direct run.
	Objects []Object `json:"objects,omitempty"`
}

// Object is one stored object of an archive and what it must be.
type Object struct {
	Key    string `json:"key"`
	Size   int64  `json:"size"`
	SHA256 Hash   `json:"sha256"`
}

// Hash is a SHA-256, written as hexadecimal text.
type Hash [32]byte

// MarshalText writes the hash as hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h[:])), nil }

// UnmarshalText reads a hash of 64 hexadecimal digits.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != 2*len(h) {
		return fmt.Errorf("a SHA-256 has %d hexadecimal digits, this has %d", 2*len(h), len(b))
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// DiskSize is what a table takes on its server's disk, in bytes. Both parts may have grown or shrunk since they were asked for.
type DiskSize struct {
	Namespace Text `json:"-"`
	Name      Text `json:"-"`
	// Table is the rows' with TOAST, Indexes that of all indexes.
	Table   int64 `json:"table"`
	Indexes int64 `json:"indexes"`
}
