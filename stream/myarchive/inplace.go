package myarchive

import "strings"

// inPlace returns the statement that creates a program without the name of the dump's own database before its own name and
// its table's, and "" where it would create it in another one, or is none that a server prints.
func (a *archive) inPlace(create string) string {
	at := createProgram.FindStringSubmatchIndex(create)
	head := heads[strings.ToUpper(create[at[6]:at[7]])].FindStringSubmatchIndex(create[at[1]:])
	if head == nil {
		return ""
	}
	cut := func(from, to, end int) bool { // of a database's name, what is named ending there
		if from >= 0 && unquote(create[from:to]) != a.database {
			return false
		}
		if from >= 0 {
			create = create[:from] + create[end:]
		}
		return true
	}
	if len(head) > 2 && !cut(shift(head[2], at[1]), head[3]+at[1], head[4]+at[1]) {
		return ""
	}
	if !cut(at[8], at[9], at[10]) {
		return ""
	}
	return create
}

// shift moves a place that is one.
func shift(place, by int) int {
	if place < 0 {
		return place
	}
	return place + by
}
