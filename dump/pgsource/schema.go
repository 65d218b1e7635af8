package pgsource

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/pgtoc"
)

// schemaItems reduces entries to what two databases are compared by: what each
// object is, how it is defined, whose it is. Dump IDs, the database's own name and
// the order of inherited columns say nothing about the schema.
func schemaItems(entries []stream.Entry) []stream.SchemaItem {
	items := []stream.SchemaItem{}
	blobs := map[stream.DumpID]*stream.Entry{}
	for i := range entries {
		if entries[i].Desc == "BLOB METADATA" {
			blobs[entries[i].ID] = &entries[i]
		}
	}
	for i := range entries {
		e := &entries[i]
		if e.Section == stream.Data || e.Section == stream.Sequences {
			continue
		}
		it := stream.SchemaItem{Desc: e.Desc, Namespace: e.Namespace, Tag: withoutModes(e.Tag), Defn: e.Defn, Post: e.Section == stream.PostData}
		text := string(e.Defn)
		if e.Desc == "ACL" && strings.HasPrefix(string(e.Tag), "LARGE OBJECT") {
			items = append(items, blobACL(e, blobs)...)
			continue
		}
		switch {
		case e.Pass == stream.DatabasePass:
			// Also where it can't be renamed it is compared: as it stands.
			if r, err := pgtoc.RenameDatabase(text, "database"); err == nil {
				text = r
			}
			it.Tag = "DATABASE"
		case e.Secret:
			// Not even a hash of a password leaves: a weak one could be guessed from it.
			text, it.Defn = literals.ReplaceAllString(text, "''"), ""
		case e.Desc == "TABLE":
			text = sortedLines(text)
		case e.Desc == "VIEW" || e.Desc == "MATERIALIZED VIEW" || e.Desc == "RULE":
			text = withoutLayout(text)
		case e.Desc == "BLOB" || e.Desc == "BLOB METADATA":
			items = append(items, blobItems(e)...)
			continue
		}
		h := sha256.New()
		if pgtoc.OwnerStmt(string(e.Desc), "", string(e.Tag), "x", string(e.DropStmt)) != "" {
			it.Owner = e.Owner
		}
		for _, p := range []string{text, string(e.Tablespace), string(e.AccessMethod)} {
			h.Write([]byte(p))
			h.Write([]byte{0})
		}
		it.Hash = hex.EncodeToString(h.Sum(nil)[:16])
		items = append(items, it)
	}
	slices.SortStableFunc(items, func(a, b stream.SchemaItem) int {
		return cmp.Or(cmp.Compare(a.Desc, b.Desc), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.Hash, b.Hash))
	})
	return items
}

// withoutModes takes IN out of a procedure's arguments: servers before 14 leave it out of
// the name that they print.
func withoutModes(tag stream.Text) stream.Text {
	if !strings.Contains(string(tag), "(") {
		return tag
	}
	return stream.Text(strings.NewReplacer("(IN ", "(", ", IN ", ", ").Replace(string(tag)))
}

// blobItems gives each large object an item; from 17 on pg_dump has one entry for
// many of them.
func blobItems(e *stream.Entry) []stream.SchemaItem {
	ids := []string{string(e.Tag)}
	if e.Desc == "BLOB METADATA" {
		ids = strings.Fields(string(e.Defn))
	}
	var out []stream.SchemaItem
	for _, id := range ids {
		out = append(out, stream.SchemaItem{Desc: "LARGE OBJECT", Tag: stream.Text(id), Owner: e.Owner})
	}
	return out
}

var literals = regexp.MustCompile(`'(?:[^'\\]|''|\\.)*'`)

var blobName = regexp.MustCompile(`LARGE OBJECT \d+`)

// blobACL gives each large object an item for its privileges; from 17 on one entry
// holds those of a group.
func blobACL(e *stream.Entry, groups map[stream.DumpID]*stream.Entry) []stream.SchemaItem {
	tags := []string{string(e.Tag)}
	if len(e.Dependencies) > 0 && groups[e.Dependencies[0]] != nil {
		tags = nil
		for _, id := range strings.Fields(string(groups[e.Dependencies[0]].Defn)) {
			tags = append(tags, "LARGE OBJECT "+id)
		}
	}
	said := strings.Split(blobName.ReplaceAllString(string(e.Defn), "LARGE OBJECT"), "\n")
	slices.Sort(said)
	h := sha256.Sum256([]byte(strings.Join(slices.Compact(said), "\n")))
	var out []stream.SchemaItem
	for _, t := range tags {
		out = append(out, stream.SchemaItem{Desc: "ACL", Tag: stream.Text(t), Hash: hex.EncodeToString(h[:16])})
	}
	return out
}

// sortedLines makes a table's definition independent of the order of its columns.
func sortedLines(s string) string {
	l := strings.Split(s, "\n")
	for i := range l {
		l[i] = strings.TrimSuffix(l[i], ",")
	}
	slices.Sort(l)
	return strings.Join(l, "\n")
}

// withoutLayout takes out white space that separates no words: the server lays a
// query out by the lengths it had when it was parsed, and a restored view's text may
// break elsewhere. Strings and quoted names are left alone.
func withoutLayout(s string) string {
	var b strings.Builder
	var quote, last byte
	space := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		if quote == 0 && (c == ' ' || c == '\n' || c == '\t') {
			space = true
			continue
		}
		if space && isWord(last) && isWord(c) {
			b.WriteByte(' ')
		}
		space = false
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		}
		b.WriteByte(c)
		last = c
	}
	return b.String()
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '\'' || c == '"'
}
