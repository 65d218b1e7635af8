package pgtoc

import "fmt"

// Section is the stage of a restore that an entry belongs to.
type Section uint8

// The sections, in the archive's numbering. SectionNone is that of entries which go with
// another object (ACL, COMMENT, SECURITY LABEL).
const (
	SectionNone Section = iota + 1
	PreData
	Data
	PostData
)

var sectionNames = [...]string{SectionNone: "none", PreData: "pre-data", Data: "data", PostData: "post-data"}

// String returns the section's name as pg_dump's --section spells it, or none.
func (s Section) String() string {
	if s >= SectionNone && s <= PostData {
		return sectionNames[s]
	}
	return fmt.Sprintf("section(%d)", uint8(s))
}

// Sections returns for each entry the section it is restored in, the way pg_restore tells: an
// entry of no section belongs where the entries before it do.
func (t *TOC) Sections() []Section {
	all := make([]Section, len(t.Entries))
	now := PreData
	for i := range t.Entries {
		if s := t.Entries[i].Section; s != SectionNone {
			now = s
		}
		all[i] = now
	}
	return all
}

// MaxID returns the largest ID that the entries hold or refer to. pg_dump leaves references to
// entries that it doesn't write, so that a new ID must exceed both.
func (t *TOC) MaxID() int32 {
	var m int32
	for i := range t.Entries {
		m = max(m, t.Entries[i].ID)
		for _, d := range t.Entries[i].Deps {
			m = max(m, d)
		}
	}
	return m
}

// Index returns the entries by their IDs. It is good until Entries changes.
func (t *TOC) Index() map[int32]*Entry {
	m := make(map[int32]*Entry, len(t.Entries))
	for i := range t.Entries {
		m[t.Entries[i].ID] = &t.Entries[i]
	}
	return m
}

// CheckFile returns an error unless name may be a data file's: flat, of letters, digits, "_", "."
// and "-", and without "..". pg_restore refuses a directory in it, and a reader of
// archives must not be led out of the archive.
func CheckFile(name string) error {
	if name == "" || len(name) > maxFileName {
		return fmt.Errorf("data file name: %d bytes long", len(name))
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		case c == '.' && (i == 0 || name[i-1] != '.'):
		default:
			return fmt.Errorf("data file name %.60q: only letters, digits, \"_\", \"-\" and single dots are accepted", name)
		}
	}
	if name == "." {
		return fmt.Errorf("data file name %q", name)
	}
	return nil
}

// ByCatalog returns the entries by their addresses in the source's catalog, those that have
// one. It is good until Entries changes.
func (t *TOC) ByCatalog() map[[2]uint32]*Entry {
	m := make(map[[2]uint32]*Entry, len(t.Entries))
	for i := range t.Entries {
		if c := t.Entries[i].CatalogID; c[0] != 0 && c[1] != 0 {
			m[c] = &t.Entries[i]
		}
	}
	return m
}
