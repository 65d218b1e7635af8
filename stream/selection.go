package stream

import (
	"fmt"
	"slices"
	"strings"
)

// Selection restricts a move to some objects, by pg_dump's patterns, and to some of the
// sections of what is left. The zero Selection is all of a database.
type Selection struct {
	Schemas                     []string `json:"schemas,omitempty"`
	Tables                      []string `json:"tables,omitempty"`
	TablesAndChildren           []string `json:"tables_and_children,omitempty"`
	ExcludeSchemas              []string `json:"exclude_schemas,omitempty"`
	ExcludeTables               []string `json:"exclude_tables,omitempty"`
	ExcludeTablesAndChildren    []string `json:"exclude_tables_and_children,omitempty"`
	ExcludeTableData            []string `json:"exclude_table_data,omitempty"`
	ExcludeTableDataAndChildren []string `json:"exclude_table_data_and_children,omitempty"`
	// Sections are those that are moved, in their order; empty for all. The positions of sequences
	// and large objects with all that is theirs are of section Data.
	Sections []Section `json:"sections,omitempty"`
	// SchemaOnly leaves materialized views unfilled, which section PostData fills.
	SchemaOnly bool `json:"schema_only,omitempty"`
}

// Pattern is one of a selection's patterns, with the flag that gave it.
type Pattern struct {
	Flag string // as pg_dump and pgmove call it, without dashes
	Text string
}

// Patterns returns all patterns, in the order of their flags.
func (s *Selection) Patterns() []Pattern {
	var out []Pattern
	for _, l := range []struct {
		flag string
		list []string
	}{{"schema", s.Schemas}, {"table", s.Tables}, {"table-and-children", s.TablesAndChildren}, {"exclude-schema", s.ExcludeSchemas},
		{"exclude-table", s.ExcludeTables}, {"exclude-table-and-children", s.ExcludeTablesAndChildren},
		{"exclude-table-data", s.ExcludeTableData}, {"exclude-table-data-and-children", s.ExcludeTableDataAndChildren}} {
		for _, p := range l.list {
			out = append(out, Pattern{l.flag, p})
		}
	}
	return out
}

// Everything reports whether no flag names what is to be moved: then large objects, extensions and all else that is in no schema come along.
func (s *Selection) Everything() bool {
	return len(s.Schemas)+len(s.Tables)+len(s.TablesAndChildren) == 0
}

// Excludes reports whether some flag leaves something out.
func (s *Selection) Excludes() bool {
	return len(s.ExcludeSchemas)+len(s.ExcludeTables)+len(s.ExcludeTablesAndChildren)+len(s.ExcludeTableData)+len(s.ExcludeTableDataAndChildren) > 0
}

// Has reports whether a section is moved.
func (s *Selection) Has(sec Section) bool {
	if sec == Sequences {
		sec = Data
	}
	return len(s.Sections) == 0 || slices.Contains(s.Sections, sec)
}

// Wants reports whether an entry of the archive is moved. Those that aren't may still be there, so that it is known what the others depend on.
func (s *Selection) Wants(e *Entry) bool {
	if s.SchemaOnly && e.Pass == RefreshPass {
		return false
	}
	if e.ofLargeObjects() {
		return s.Has(Data)
	}
	return s.Has(e.Section)
}

// ofLargeObjects reports whether the entry makes large objects, or says something about them.
func (e *Entry) ofLargeObjects() bool {
	switch e.Desc {
	case "BLOB", "BLOB METADATA":
		return true
	case "ACL", "COMMENT", "SECURITY LABEL":
		return strings.HasPrefix(string(e.Tag), "LARGE OBJECT")
	}
	return false
}

// wantsItem is Wants of an item of the schema.
func (s *Selection) wantsItem(it *SchemaItem) bool {
	switch {
	case s.SchemaOnly && it.Desc == "MATERIALIZED VIEW DATA":
		return false
	case it.Desc == "LARGE OBJECT", strings.HasPrefix(string(it.Tag), "LARGE OBJECT"):
		return s.Has(Data)
	case it.Post:
		return s.Has(PostData)
	}
	return s.Has(PreData)
}

// Keep returns the items that are moved.
func (s *Selection) Keep(items []SchemaItem) []SchemaItem {
	out := make([]SchemaItem, 0, len(items))
	for i := range items {
		if s.wantsItem(&items[i]) {
			out = append(out, items[i])
		}
	}
	return out
}

// Only restricts the selection to sections, none for those that it has. What it doesn't
// have is a Failure of kind Preflight.
func (s Selection) Only(sections []Section, schemaOnly bool) (Selection, error) {
	for _, sec := range sections {
		if !s.Has(sec) {
			return s, Fail(Preflight, "the archive holds no section %s: it was dumped with %s", sec, s.sectionText()).
				WithHint("dump again with that section, or ask for what the archive holds")
		}
	}
	if len(sections) > 0 {
		s.Sections = sections
	}
	s.SchemaOnly = s.SchemaOnly || schemaOnly
	return s, nil
}

// Only returns the contents without what a narrower selection leaves out.
func (c *Contents) Only(sel Selection) *Contents {
	out := *c
	out.Header.Source.Selection = sel
	if !sel.Has(Data) {
		out.Tables, out.Sequences = nil, nil
	}
	out.Schema = sel.Keep(c.Schema)
	return &out
}

// LargeObjects lists the large objects by their names.
func (c *Contents) LargeObjects() []string {
	var out []string
	for i := range c.Schema {
		if c.Schema[i].Desc == "LARGE OBJECT" {
			out = append(out, string(c.Schema[i].Tag))
		}
	}
	return out
}

// LeftOut tells people which sections are not moved.
func (s *Selection) LeftOut() []string {
	var out []string
	for _, sec := range []Section{PreData, Data, PostData} {
		if !s.Has(sec) {
			out = append(out, fmt.Sprintf("section %s: it was not moved (%s)", sec, s.sectionText()))
		}
	}
	return out
}

func (s *Selection) sectionText() string {
	if s.SchemaOnly && len(s.Sections) == 2 {
		return "--schema-only"
	}
	var out []string
	for _, sec := range s.Sections {
		out = append(out, "--section "+sec.String())
	}
	return strings.Join(out, " ")
}

// Text is the selection as flags, "" for all of a database.
func (s *Selection) Text() string {
	var out []string
	for _, p := range s.Patterns() {
		out = append(out, "--"+p.Flag+" "+Text(p.Text).Display())
	}
	if t := s.sectionText(); t != "" {
		out = append(out, t)
	}
	return strings.Join(out, " ")
}

// Same returns a Failure of kind Usage where another selection was begun with.
func (s *Selection) Same(begun *Selection) error {
	if slices.Equal(s.Patterns(), begun.Patterns()) && slices.Equal(s.Sections, begun.Sections) && s.SchemaOnly == begun.SchemaOnly {
		return nil
	}
	now, then := s.Text(), begun.Text()
	if now == "" {
		now = "everything"
	}
	if then == "" {
		then = "everything"
	}
	return Fail(Usage, "the run began with another selection of what is moved: %s, and this is %s", then, now).
		WithHint("give --schema, --table, --exclude-… and --section as they were given at first; else start afresh")
}
