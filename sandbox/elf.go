// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"strings"
)

// A binary may be a file that an earlier start of the task has made: its headers can name
// tables of gigabytes, in a sparse file that takes no space. So what is read of one is
// limited, and only what the kernel and the dynamic loader read: no sections.

// program is what a binary says of how it is loaded.
type program struct {
	interpreter string
	libraries   []string
	paths       []string // DT_RPATH and DT_RUNPATH
}

// What is read of a binary, at most. Those of compilers have some 15 program headers.
const (
	mostHeaders   = 64
	mostDynamic   = 64 << 10 // bytes of the dynamic section
	mostLibraries = 64
	mostName      = 4096 // bytes of a path, PATH_MAX
)

var errNotABinary = errors.New("no 64-bit ELF binary")

// readProgram reads a binary of a 64-bit, little-endian machine: tasks run no others.
func readProgram(r io.ReaderAt) (*program, error) {
	var header elf.Header64
	if err := readStruct(r, 0, &header); err != nil {
		return nil, err
	}
	if string(header.Ident[:len(elf.ELFMAG)]) != elf.ELFMAG || header.Ident[elf.EI_CLASS] != byte(elf.ELFCLASS64) || header.Ident[elf.EI_DATA] != byte(elf.ELFDATA2LSB) {
		return nil, errNotABinary
	}
	if int(header.Phentsize) != binary.Size(elf.Prog64{}) || header.Phnum > mostHeaders {
		return nil, errNotABinary
	}
	headers := make([]elf.Prog64, header.Phnum)
	if err := readStruct(r, header.Phoff, headers); err != nil {
		return nil, err
	}
	p := &program{}
	for i := range headers {
		switch h := &headers[i]; elf.ProgType(h.Type) {
		case elf.PT_INTERP:
			if h.Filesz <= mostName {
				p.interpreter, _ = readName(r, h.Off, h.Filesz)
			}
		case elf.PT_DYNAMIC:
			p.readDynamic(r, headers, h)
		}
	}
	return p, nil
}

// readDynamic reads what the dynamic section names, as far as that can be read.
func (p *program) readDynamic(r io.ReaderAt, headers []elf.Prog64, section *elf.Prog64) {
	entries := make([]elf.Dyn64, min(section.Filesz, mostDynamic)/uint64(binary.Size(elf.Dyn64{})))
	if readStruct(r, section.Off, entries) != nil {
		return
	}
	var names uint64 // an address
	for _, e := range entries {
		if elf.DynTag(e.Tag) == elf.DT_STRTAB {
			names = e.Val
		}
	}
	offset, found := offsetOf(headers, names)
	if !found {
		return
	}
	for _, e := range entries {
		list := &p.paths
		switch elf.DynTag(e.Tag) {
		case elf.DT_NULL:
			return
		case elf.DT_NEEDED:
			list = &p.libraries
		case elf.DT_RPATH, elf.DT_RUNPATH:
		default:
			continue
		}
		if name, whole := readName(r, offset+e.Val, mostName); whole && len(*list) < mostLibraries {
			*list = append(*list, name)
		}
	}
}

// offsetOf is where in the file an address of the program is.
func offsetOf(headers []elf.Prog64, address uint64) (uint64, bool) {
	for i := range headers {
		if h := &headers[i]; elf.ProgType(h.Type) == elf.PT_LOAD && address-h.Vaddr < h.Filesz {
			return h.Off + address - h.Vaddr, true
		}
	}
	return 0, false
}

// readStruct reads values of a fixed size, whose number the caller limits.
func readStruct(r io.ReaderAt, offset uint64, into any) error {
	data := make([]byte, binary.Size(into))
	if n, err := r.ReadAt(data, int64(offset)); n < len(data) { //nolint:gosec // a negative one is an error
		return err
	}
	return binary.Read(bytes.NewReader(data), binary.LittleEndian, into)
}

// readName reads a string of at most that many bytes, which ends in a null byte.
func readName(r io.ReaderAt, offset, most uint64) (name string, whole bool) {
	data := make([]byte, most)
	n, _ := r.ReadAt(data, int64(offset)) //nolint:gosec // a negative one is an error
	name, _, whole = strings.Cut(string(data[:n]), "\x00")
	return name, whole
}
