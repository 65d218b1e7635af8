package mysession

import "strings"

// ColumnCharsets returns, by the columns' names in lower case, the charset of each column with text, as SHOW CREATE TABLE prints it or
// takes it from the table's default. Others have none.
func ColumnCharsets(create string) map[string]string {
	t := Tokens(create)
	first := -1
	for i := range t {
		if t[i].sign('(') && t[i].Depth == 0 {
			first = i + 1
			break
		}
	}
	if first < 0 {
		return nil
	}
	end := first
	for end < len(t) && !(t[end].sign(')') && t[end].Depth == 0) {
		end++
	}
	usual := charset(t[min(end, len(t)):])
	out := map[string]string{}
	for i := first; i < end; {
		j := i
		for j < end && !(t[j].sign(',') && t[j].Depth == 1) {
			j++
		}
		if column := t[i:j]; len(column) > 1 && column[0].Kind == Name {
			own := charset(column[1:])
			if own == "" && isText(column[1]) {
				own = usual
			}
			if own != "" {
				out[strings.ToLower(column[0].Text)] = own
			}
		}
		i = j + 1
	}
	return out
}

// isText reports whether a type's values have a charset.
func isText(t Token) bool {
	for _, w := range []string{"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"} {
		if t.Is(w) {
			return true
		}
	}
	return false
}

// charset is what the options of a column or of a table name.
func charset(t []Token) string {
	depth := 0
	if len(t) > 0 {
		depth = t[0].Depth
	}
	for i := range t {
		at := i + 1
		switch {
		case t[i].Depth != depth:
			continue
		case t[i].Is("CHARACTER") && at < len(t) && t[at].Is("SET"):
			at++
		case !t[i].Is("CHARSET"):
			continue
		}
		if at < len(t) && t[at].sign('=') {
			at++
		}
		if at < len(t) {
			name := strings.ToLower(t[at].unquoted())
			if name == "utf8" {
				name = "utf8mb3" // by its older name
			}
			return name
		}
	}
	return ""
}

// AddedKeys returns the table and the names of the keys that a statement of AddKeys adds.
func AddedKeys(sql string) (table string, names []string) {
	t := Tokens(sql)
	if len(t) < 3 || t[2].Kind != Name {
		return "", nil
	}
	for i := range t {
		if !t[i].Is("ADD") || t[i].Depth != 0 {
			continue
		}
		for _, x := range t[i+1:] {
			if x.Kind == Name && x.Depth == 0 {
				names = append(names, x.Text)
				break
			}
			if x.sign('(') {
				break
			}
		}
	}
	return t[2].Text, names
}

// Referred returns the tables that the foreign keys of a statement of AddKeys refer to, but for those of other databases.
func Referred(sql string) []string {
	t := Tokens(sql)
	var out []string
	for i := range t {
		if t[i].Is("REFERENCES") && t[i].Depth == 0 && i+1 < len(t) && t[i+1].Kind == Name && (i+2 >= len(t) || !t[i+2].sign('.')) {
			out = append(out, t[i+1].Text)
		}
	}
	return out
}

// KeysWithin returns the names of the indexes, but for the primary key, and of the foreign keys within a CREATE TABLE statement.
func KeysWithin(create string) (keys, foreign []string) {
	t := Tokens(create)
	for i := range t {
		if t[i].Depth != 1 || i == 0 || !(t[i-1].sign(',') || t[i-1].sign('(')) {
			continue // not the first of a line
		}
		switch keyKind(t[i:]) {
		case "":
		case "FOREIGN":
			foreign = append(foreign, keyName(t[i:]))
		default:
			keys = append(keys, keyName(t[i:]))
		}
	}
	return keys, foreign
}
