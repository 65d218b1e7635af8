package stream

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// FormatVersion is the version of what stands under pgmove/ in an archive.
const FormatVersion = 1

// The objects of pgmove's own in an archive; FORMAT.md describes them.
const (
	keyMetadata = "pgmove/"
	keyHeader   = "pgmove/header.json"
	keyEntries  = "pgmove/entries.json"
	keyPlan     = "pgmove/plan.json"
	keyManifest = "pgmove/manifest.json"
	keyRecords  = "pgmove/chunks/"
	// keyHeartbeat is written again and again while the dump goes on.
	keyHeartbeat = "pgmove/heartbeat.json"
)

// The bounds, in bytes, of the metadata that a reader takes in: of what grows with the
// database, and of what doesn't or by little.
const (
	maxMetadata = 1 << 30
	maxRecord   = 64 << 20
)

// Header says what an archive is and where it comes from. It is written first.
type Header struct {
	Format  int       `json:"format"`
	Run     string    `json:"run"` // the run's UUID, in every object of its own
	Engine  string    `json:"engine"`
	Tool    string    `json:"tool"`
	Created time.Time `json:"created"`
	// Live marks a direct run: chunks are not kept.
	Live bool `json:"live,omitempty"`
	// Bare says that objects of rows as text hold the rows and nothing else, without the end mark of COPY's files.
	Bare        bool        `json:"bare,omitempty"`
	Compression Compression `json:"compression"`
	Source      Source      `json:"source"`
	// Roles says that the roles are kept too, in an object of their own.
	Roles bool `json:"roles,omitempty"`
	// Resumes are the runs that this one goes on from under a snapshot of its own, oldest first.
	Resumes []Resumed `json:"resumes,omitempty"`
}

// Source tells about the server and the database that the snapshot is of.
type Source struct {
	Version    string `json:"version"`     // as people write it: 15.20
	VersionNum int    `json:"version_num"` // as the server counts it: 150020
	Database   Text   `json:"database"`
	SystemID   string `json:"system_id,omitempty"` // the cluster's identifier, where the role may read it
	Snapshot   string `json:"snapshot"`
	// View lists the transactions that the snapshot sees, as the server prints it, and Instance tells one life of the server
	// from the next, "" where that can't be known; see SameSnapshot.
	View     string `json:"view,omitempty"`
	Instance string `json:"instance,omitempty"`
	// Held says that another process held the snapshot (pgmove snapshot --hold).
	Held bool `json:"held,omitempty"`
	// Started is when the server was started, or where it runs; it tells a server from its copies, which have the same identifier.
	Started string `json:"-"`
	// DatabaseID tells a database from one of the same name that took its place; "" where the engine has no such thing.
	DatabaseID string `json:"-"`
	Encoding   string `json:"encoding"` // of the database, of every Text and of the rows
	// SearchPath is the source role's own, for objects that cannot do without.
	SearchPath Text `json:"search_path,omitempty"`
	// Session lists the settings that were pinned while rows were read.
	Session map[string]string `json:"session,omitempty"`
	// DumpTool is the version of the program that told the schema (pg_dump).
	DumpTool string `json:"dump_tool,omitempty"`
	// Roles names the roles that objects refer to, and how.
	Roles []RoleUse `json:"roles,omitempty"`
	// Warnings are the dump tool's and pgmove's own, for the report.
	Warnings []Text `json:"warnings,omitempty"`
	NoOwner  bool   `json:"no_owner,omitempty"`
	NoACL    bool   `json:"no_acl,omitempty"`
	// Selection holds the patterns of a partial dump: what is compared later is
	// restricted by the same ones.
	Selection Selection `json:"selection,omitzero"`
}

// RoleUse is a role that objects of the source refer to.
type RoleUse struct {
	Name  Text `json:"name"`
	Owner bool `json:"owner,omitempty"` // it owns something
	ACL   bool `json:"acl,omitempty"`   // it is granted something
	Other bool `json:"other,omitempty"` // a policy names it, a setting is its
}

// Contents is what a snapshot held, as far as a target is compared with it: it
// stands in the manifest, and in a direct run's report.
type Contents struct {
	Header    Header          `json:"header"`
	Tables    []TableContents `json:"tables"`
	Sequences []SequenceValue `json:"sequences"`
	Schema    []SchemaItem    `json:"schema"`
}

// NewContents returns the contents of a snapshot with these entries, as far as the records tell: without
// sequences and schema.
func NewContents(h Header, entries []Entry, records []Record) *Contents {
	c := &Contents{Header: h}
	for i := range entries {
		if e := &entries[i]; e.Table != nil {
			c.Tables = append(c.Tables, TableContents{ID: e.ID, Table: *e.Table})
		}
	}
	c.Count(records)
	return c
}

// Count sets the tables' digests to what the records come to.
func (c *Contents) Count(records []Record) {
	at := make(map[DumpID]int, len(c.Tables))
	for i := range c.Tables {
		t := &c.Tables[i]
		at[t.ID] = i
		t.Format, t.Digest, t.RawBytes = "", Digest{}, 0
	}
	for i := range records {
		r := &records[i]
		n, ok := at[r.Table]
		if !ok {
			continue
		}
		t := &c.Tables[n]
		t.Format = r.Format
		t.Digest.Add(r.Digest)
		t.RawBytes += r.RawBytes
	}
}

// TableContents is the digest of one data entry's rows and how to read them again.
type TableContents struct {
	ID    DumpID `json:"id"`
	Table Table  `json:"table"`
	// Format is the COPY format the digest is of.
	Format   string `json:"format"`
	Digest   Digest `json:"digest"`
	RawBytes int64  `json:"raw_bytes"`
}

// SequenceValue is a sequence's position.
type SequenceValue struct {
	Namespace Text  `json:"namespace"`
	Name      Text  `json:"name"`
	Last      int64 `json:"last"`
	Called    bool  `json:"called"`
}

// SchemaItem identifies one object of the schema and, by a hash, its definition.
type SchemaItem struct {
	Desc      Text `json:"desc"`
	Namespace Text `json:"namespace,omitempty"`
	Tag       Text `json:"tag"`
	// Owner is the object's owner; "" for kinds that have none of their own.
	Owner Text `json:"owner,omitempty"`
	// Hash is of the normalised definition, without the owner.
	Hash string `json:"hash"`
	// Post says that it is of section PostData.
	Post bool `json:"post,omitempty"`
	// Defn is the definition for people to read; it is not stored.
	Defn Text `json:"-"`
}

// Name is the item's kind and qualified name.
func (s *SchemaItem) Name() string {
	n := s.Tag.Display()
	if s.Namespace != "" {
		n = s.Namespace.Display() + "." + n
	}
	return s.Desc.Display() + " " + n
}

// Manifest seals an archive: it is written last, and an archive without it isn't
// one yet.
type Manifest struct {
	Sealed   time.Time `json:"sealed"`
	Objects  []Object  `json:"objects"` // all but those under pgmove/ that come later, and the chunks' own
	Chunks   []Record  `json:"chunks"`
	Contents Contents  `json:"contents"`
}

// meter counts and hashes what is written through it.
type meter struct {
	w io.Writer
	n int64
	h interface {
		io.Writer
		Sum([]byte) []byte
	}
}

func newMeter(w io.Writer) *meter { return &meter{w: w, h: sha256.New()} }

func (m *meter) Write(p []byte) (int, error) {
	_, _ = m.h.Write(p)
	m.n += int64(len(p))
	return m.w.Write(p)
}

func (m *meter) object(key string) Object {
	o := Object{Key: key, Size: m.n}
	m.h.Sum(o.SHA256[:0])
	return o
}

// decode reads the JSON of a body whose hash was checked before.
func decode(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("it is not the JSON that belongs there: %w", err)
	}
	return nil
}
