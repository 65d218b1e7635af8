package pgtoc

// The kinds of data entries, in pg_dump's words.
const (
	DescTableData   = "TABLE DATA"
	DescSequenceSet = "SEQUENCE SET"
	DescBlobs       = "BLOBS"
	// DescBlob creates one large object, before archive version 1.16.
	DescBlob = "BLOB"
	// DescBlobMetadata creates a group of large objects, since 1.16.
	DescBlobMetadata = "BLOB METADATA"
)

// nullData are the fields that pg_dump leaves NULL in all data entries.
const nullData = NullDropStmt | NullTablespace | NullTableAM

// TableData describes the rows of one table and the files that hold them.
type TableData struct {
	// ID is the table's data entry: what pg_restore takes for the table's rows,
	// and what post-data entries wait for.
	ID int32
	// Table is the ID of the table's own entry. For a table that an extension owns there is no such
	// entry: pg_dump then names an ID that it doesn't write, and 0 leaves it out.
	Table int32
	// OID is the table's, in the source's catalog.
	OID                    uint32
	Namespace, Name, Owner string
	// CopyStmt loads the rows: "COPY … FROM stdin;\n".
	CopyStmt string
	// Root is the qualified and quoted name of the partition root that CopyStmt loads, where the rows
	// are loaded through it rather than into the table.
	Root string
	// Deps are further entries that must come first: the data of other tables that an
	// extension's configuration table refers to.
	Deps []int32
	// Chunks are the files; without any there are no entries. The ID of a table's only chunk
	// is not looked at: the table's data entry stands for it.
	Chunks []ChunkFile
}

// ChunkFile is one data file of a table and the ID of its entry.
type ChunkFile struct {
	ID   int32
	File string
}

// Entries returns the data entries for the table: pg_dump's own one for a single chunk;
// for several, an entry for each chunk and the gate.
//
// pg_restore knows one data entry for a table, the last whose first dependency is the table.
// With several, post-data would wait for that one alone, and under -j the rows of the others are
// truncated away. So the chunks depend on nothing (pre-data is complete before any data), and the
// gate, an entry without data, depends on the table and on all chunks.
// Post-data that needs the table's rows then waits for the gate.
func (d *TableData) Entries() []Entry {
	stock := Entry{
		ID: d.ID, HadDumper: true, CatalogID: [2]uint32{0, d.OID},
		Tag: d.Name, Desc: DescTableData, Section: Data,
		CopyStmt: d.CopyStmt, Namespace: d.Namespace, Owner: d.Owner,
		Null: nullData | NullDefn,
	}
	if d.Root != "" {
		// pg_restore knows such entries by this comment, and doesn't truncate
		// the root before it loads them.
		stock.Defn = "-- load via partition root " + d.Root
		stock.Null &^= NullDefn
	}
	var deps []int32
	if d.Table != 0 {
		deps = append(deps, d.Table)
	}
	deps = append(deps, d.Deps...)
	if len(d.Chunks) == 0 {
		return nil
	}
	if len(d.Chunks) == 1 {
		stock.Deps, stock.File = deps, d.Chunks[0].File
		return []Entry{stock}
	}
	entries := make([]Entry, 0, len(d.Chunks)+1)
	for _, c := range d.Chunks {
		e := stock
		e.ID, e.File = c.ID, c.File
		entries = append(entries, e)
		deps = append(deps, c.ID)
	}
	gate := stock
	gate.HadDumper, gate.Deps = false, deps
	gate.Defn, gate.CopyStmt = "", ""
	gate.Null = nullData | NullCopyStmt
	return append(entries, gate)
}

// RootGate returns the gate of a partitioned table, which has no rows of its own: what depends on the table, such as
// a trigger that its partitions inherit, then waits until the data entries of its partitions are done. Stock
// archives lack it, and with several jobs pg_restore may create such a trigger before all rows are in.
func RootGate(id int32, table *Entry, partitions []int32) Entry {
	return Entry{
		ID: id, Tag: table.Tag, Desc: DescTableData, Section: Data, Namespace: table.Namespace, Owner: table.Owner,
		Null: nullData | NullCopyStmt, Deps: append([]int32{table.ID}, partitions...),
	}
}

// SequenceSet returns the entry that sets a sequence's position. seq is the entry of the sequence; the
// statement is "SELECT pg_catalog.setval(…);\n".
func SequenceSet(id int32, seq *Entry, statement string) Entry {
	return Entry{
		ID: id, Tag: seq.Tag, Desc: DescSequenceSet, Section: Data,
		Defn: statement, Namespace: seq.Namespace, Owner: seq.Owner,
		Null: nullData | NullCopyStmt, Deps: []int32{seq.ID},
	}
}
