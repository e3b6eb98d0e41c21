package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The table of docs/guarantees.md stands between these.
const (
	tableBegin = "<!-- mutants: written by make mutate-table -->"
	tableEnd   = "<!-- end of mutants -->"
)

// table is the text between the markers.
func table(root string, mutants []*mutant) (string, error) {
	files, err := testFiles(root, mutants)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	guarantee := ""
	for _, m := range mutants {
		if m.guarantee != guarantee {
			guarantee = m.guarantee
			fmt.Fprintf(&b, "\n### %s\n| broken, and so | kept by | found by |\n|---|---|---|\n", guarantee)
		}
		var found []string
		for _, t := range m.tests {
			found = append(found, fmt.Sprintf("[`%s`](../%s)", t.fn(), files[test{t.dir, t.fn()}]))
		}
		fmt.Fprintf(&b, "| %s | [%s](../%s) %s | %s |\n", strings.ReplaceAll(m.title, "|", "\\|"), m.file, m.file, m.fn, strings.Join(found, ", "))
	}
	fmt.Fprintf(&b, "\n%d mutants in %d files.\n", len(mutants), countFiles(mutants))
	return b.String(), nil
}

func countFiles(mutants []*mutant) int {
	files := map[string]bool{}
	for _, m := range mutants {
		files[m.file] = true
	}
	return len(files)
}

// withTable returns the page with the table as it is to be.
func withTable(page, table string) (string, error) {
	before, rest, ok := strings.Cut(page, tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return "", errors.New("docs/guarantees.md has no markers for the table of mutants")
	}
	return before + tableBegin + "\n" + table + tableEnd + after, nil
}

func pagePath(root string) string { return filepath.Join(root, "docs", "guarantees.md") }

func writeTable(root string, mutants []*mutant) error {
	if _, err := check(root, mutants); err != nil {
		return err
	}
	text, err := table(root, mutants)
	if err != nil {
		return err
	}
	page, err := os.ReadFile(pagePath(root))
	if err != nil {
		return err
	}
	out, err := withTable(string(page), text)
	if err != nil || out == string(page) {
		return err
	}
	return os.WriteFile(pagePath(root), []byte(out), 0o644)
}
