package main

import (
	"fmt"
	"io"
	"strings"
)

// table is a list for people: columns under a heading, of which the last may be
// cut.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write fits the table into a width; 0 lets every line be as long as it is. A
// cell that is wider than its column stands alone on its line, so that names can
// be copied whole.
func (t *table) write(w io.Writer, s *screen) {
	widths := t.widths(s.width)
	head := make([]string, len(t.head))
	for i, h := range t.head {
		head[i] = paint(s.colour, bold, h) + strings.Repeat(" ", max(widths[i]-cells(h), 0))
	}
	fmt.Fprintln(w, strings.TrimRight(strings.Join(head, "  "), " "))
	for _, row := range t.rows {
		t.line(w, row, widths, s.width)
	}
}

// widths gives each column but the last what it needs, and the first at most
// two fifths of a terminal.
func (t *table) widths(total int) []int {
	widths := make([]int, len(t.head))
	for i, h := range t.head {
		widths[i] = cells(h)
		for _, row := range t.rows {
			widths[i] = max(widths[i], cells(row[i]))
		}
	}
	if total > 0 && len(widths) > 1 {
		widths[0] = min(widths[0], max(total*2/5, cells(t.head[0])))
	}
	return widths
}

func (t *table) line(w io.Writer, row []string, widths []int, total int) {
	var b strings.Builder
	used := 0
	for i, cell := range row {
		if i == len(row)-1 {
			if total > 0 {
				cell = cut(cell, max(total-used, 20))
			}
			b.WriteString(cell)
			break
		}
		b.WriteString(cell)
		if cells(cell) > widths[i] {
			b.WriteString("\n" + strings.Repeat(" ", used+widths[i]))
		} else {
			b.WriteString(strings.Repeat(" ", widths[i]-cells(cell)))
		}
		b.WriteString("  ")
		used += widths[i] + 2
	}
	fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
}
