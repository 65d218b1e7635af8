package pgsource

import (
	"context"
	"slices"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// binaryTypes are the built-in types whose binary form is safe to move and to compare: by OID,
// which is the same on every server. For each of them
//
//   - every server from 10 to 18 that has the type reads and writes the same bytes, whatever
//     its settings, and takes them for the same value;
//   - a server writes exactly the bytes that it was given. Else a digest would find a
//     difference between equal rows.
//
// Missing on purpose:
//
//   - arrays: an array that once held a NULL says so in its header for ever, and a copy of it
//     doesn't: equal arrays have two binary forms. The header of an array of a user's own
//     type also has that type's OID, which is another one on each server;
//   - interval: 17 and newer write infinity as what older servers take for a finite interval,
//     and the other way round. As text they refuse each other's;
//   - tsquery, whose empty value no server takes back;
//   - money, which depends on lc_monetary; xml, which may name an encoding; the reg* types,
//     oidvector and the like, which hold OIDs or are arrays; tid and cid, which are places in one
//     server's files; jsonpath, whose syntax grows; composites, whose header has
//     OIDs; ranges and types that users and extensions define.
var binaryTypes = map[uint32]string{
	16: "bool", 18: `"char"`, 19: "name", 20: "int8", 21: "int2", 23: "int4", 700: "float4", 701: "float8", 1700: "numeric",
	17: "bytea", 25: "text", 1042: "bpchar", 1043: "varchar", 114: "json", 3802: "jsonb", 2950: "uuid",
	1082: "date", 1083: "time", 1266: "timetz", 1114: "timestamp", 1184: "timestamptz",
	1560: "bit", 1562: "varbit", 650: "cidr", 869: "inet", 829: "macaddr", 774: "macaddr8",
	26: "oid", 28: "xid", 5069: "xid8", 3220: "pg_lsn",
	600: "point", 628: "line", 601: "lseg", 603: "box", 602: "path", 604: "polygon", 718: "circle",
	3614: "tsvector",
	3904: "int4range", 3926: "int8range", 3906: "numrange", 3908: "tsrange", 3910: "tstzrange", 3912: "daterange",
	4451: "int4multirange", 4536: "int8multirange", 4532: "nummultirange", 4533: "tsmultirange", 4534: "tstzmultirange", 4535: "datemultirange",
}

// checkFormat returns a Failure of kind Usage for an Options.Format that is none.
func checkFormat(format string) error {
	switch format {
	case "", "auto", stream.FormatText, stream.FormatBinary:
		return nil
	}
	return stream.Fail(stream.Usage, "no such format of rows: %q", format).WithHint("use text, binary or auto")
}

// readFormats decides for each table whether its rows go in COPY's binary format. It
// comes after the columns and the extensions' configuration tables.
func (s *Source) readFormats(ctx context.Context, q *pgsession.Session) error {
	if s.opts.Format == "" || s.opts.Format == stream.FormatText {
		return nil
	}
	// Domains and enums that initdb made (information_schema's) are others on each major version.
	rows, err := q.Rows(ctx, `SELECT t.oid, t.typtype, t.typbasetype FROM pg_catalog.pg_type t
		WHERE t.typtype IN ('d', 'e') AND t.oid >= 16384`)
	if err != nil {
		return err
	}
	bases := make(map[uint32]uint32, len(rows)) // by type: its base; of an enum 0
	for _, r := range rows {
		bases[oid(r[0])] = oid(r[2])
	}
	for _, r := range s.rels {
		// An extension's own update scripts may change its tables' columns from version to version.
		r.binary = r.config == 0 && len(r.types) > 0 &&
			!slices.ContainsFunc(r.types, func(t uint32) bool { return !binarySafe(t, bases) })
	}
	return nil
}

// binarySafe reports whether a column of the type may go in binary form. A domain's is its base
// type's, an enum's is the label.
func binarySafe(t uint32, bases map[uint32]uint32) bool {
	const deepest = 100 // domains over domains: the catalogs have no cycles, unless damaged
	for range deepest {
		if _, ok := binaryTypes[t]; ok {
			return true
		}
		base, ok := bases[t]
		if !ok {
			return false
		}
		if base == 0 {
			return true
		}
		t = base
	}
	return false
}

// format is the form of all chunks of a table. Partitions that are loaded through their root
// compare as one, so the root's columns decide for all of them.
func (s *Source) format(e *stream.Entry, r *relation) string {
	if r == nil {
		return stream.FormatText
	}
	binary := r.binary
	if root := s.rels[r.root]; e.Table.Root != 0 && root != nil {
		binary = root.binary
	}
	if binary {
		return stream.FormatBinary
	}
	return stream.FormatText
}

// copyOptions ends a COPY statement for rows of the format.
func copyOptions(format string) string {
	if format == stream.FormatBinary {
		return " WITH (FORMAT binary)"
	}
	return ""
}
