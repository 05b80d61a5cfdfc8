// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package suggest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/burin-labs/nomad-driver-harn/audit"
)

// unwritable is the system's message for EROFS, strerror(3): what is shown read-only.
const unwritable = `read-only file system|das dateisystem ist nur lesbar|système de fichiers accessible en lecture seulement|` +
	`sistema de ficheros de sólo lectura|sistema de archivos de solo lectura|file system in sola lettura|sistema de ficheiros só de leitura|alleen-lezen bestandssysteem|` +
	`файловая система доступна только для чтения|読み込み専用ファイルシステムです|只读文件系统`

// texts are those, and the messages for ENOENT and EACCES, also in the languages that
// the C library has them in.
const texts = `(?i:no such file or directory|permission denied|no such file|` + unwritable + `|` +
	`datei oder verzeichnis nicht gefunden|keine berechtigung|` +
	`aucun fichier ou dossier de ce (?:type|nom)|permission non accordée|` +
	`no existe el (?:archivo|fichero) o el directorio|permiso denegado|` +
	`file o directory non esistente|permesso negato|` +
	`(?:arquivo|ficheiro) ou diret[óo]ri[oa] inexistente|permissão (?:negada|recusada)|` +
	`bestand of map bestaat niet|toegang geweigerd|` +
	`filen eller katalogen finns inte|åtkomst nekas|` +
	`nie ma takiego pliku ani katalogu|brak dostępu|` +
	`adresář nebo soubor neexistuje|operace zamítnuta|` + //nolint:misspell // Czech
	`böyle bir dosya ya da dizin yok|erişim engellendi|` +
	`нет такого файла или каталога|отказано в доступе|` +
	`немає такого файла або каталогу|відмовлено у доступі|` +
	`そのようなファイルやディレクトリはありません|許可がありません|` +
	`没有那个文件或目录|权限不够|沒有此一檔案或目錄|拒絕不符權限的操作|` +
	`그런 파일이나 디렉터리가 없습니다|허가 거부)`

// named is a path as a message has it: in quotes of any language, then it may hold
// spaces, or bare. Relative ones say nothing: nobody knows to what.
const (
	named  = "(?:" + quoted + "|" + bare + ")"
	quoted = "'(/[^'\\n]+)'|\"(/[^\"\\n]+)\"|`(/[^`'\\n]+)[`']|‘(/[^’\\n]+)’|[“„”](/[^“”\\n]+)[“”]|«\\s?(/[^»\\n]+?)\\s?»|「(/[^」\\n]+)」"
	bare   = "(/[^\\s:'\"`‘’“”«»「」()\\[\\]{}<>,;|]+)"
)

// messages are the forms of what programs say of a path that they cannot reach. Each
// has its path in one of the groups of [named]. What stands between a path and the
// system's text is listed: any text there would take the name of a script, as in
// "/x.sh: line 4: y: No such file or directory", for the missing file.
var messages = sync.OnceValue(func() []*regexp.Regexp {
	return compile(
		// coreutils, shells, Go, perl, ruby's interpreter, php, awk, tar, ld.so, make, ssh, nginx, psql:
		// "cat: /x: No such file or directory", "open /x: no such file or directory",
		// `open() "/x" failed (2: No such file or directory)`, "/x (No such file or directory)".
		named+`\)?(?: ?: ?| ?\(| failed \(\d+: | failed: | failed, | not accessible: | for (?:reading|writing)[:,] ?| \(os error \d+\): )`+
			`(?:(?i:cannot|can't|could ?n.t|unable to|failed to) [a-z ]{1,40}: ?|[Bb]ad interpreter: |error=\d+, ?|\[Errno \d+\] |open\(\) )?`+texts,
		// Perl: "Can't open '/x': ...", `Can't open perl script "/x": ...` are above; OpenSSL: `Can't open "/x" for reading, No such ...` too.
		// node, Python, zsh, ruby: "ENOENT: no such file or directory, open '/x'", "[Errno 2] ...: b'/x'",
		// "... @ rb_sysopen - /x". In a rename there are two.
		texts+`(?:[:,] ?| @ | -- )(?:[a-z_]{1,30}(?: -)? )?b?`+named,
		texts+`[:,] ?(?:[a-z_]{1,30} )?b?(?:'[^'\n]+'|"[^"\n]+") -> b?`+named,
		// In other languages, a verb stands behind the name: "Zugriff auf '/x' nicht möglich: ...".
		`(?:`+quoted+`) ?[^\s/:][^/:\n]{0,40}: ?`+texts,
		// Go: "rename /x /y: ...".
		`\b(?:rename|link|symlink) `+named+` `+named+`: `+texts,
		// OpenSSL: "...:No such file or directory:../file_store.c:266:calling stat(/x)".
		texts+`:.{1,200}:calling [a-z]+\(`+named,
		`Could not open [a-z ]{1,60} from `+named,
		// Java's NIO, node's spawn, modules, and loaders.
		`(?:NoSuchFile|AccessDenied|FileNotFound|NotDirectory|FileSystemNotFound)Exception: `+named,
		`(?:Unable to access jarfile|Error opening zip file or JAR manifest missing :) ?`+named,
		`\bspawn `+named+` (?:ENOENT|EACCES)`,
		`Cannot find (?:module|package) `+named,
		`cannot load such file -- `+named,
		`Could not open input file: `+named,
		`Couldn't open file `+named,
		`Failed opening(?: required)? `+named,
		// git, cmake, cargo, make, sqlite, curl, ld: with words of their own.
		`(?i:\b(?:repository|directory|file|path|manifest path|archive|database|config(?:uration)? file|source directory|identity file)) `+named+` (?i:does not exist|doesn't exist|not found|was not found|could not be found|cannot be found|not accessible)`,
		`\b(?i:file not found|not a git repository): `+named,
		`\bcan't cd to `+named,
		`Can't locate `+named+` at `,
		`object `+named+` from LD_PRELOAD cannot be preloaded`,
		named+` does not appear to be a git repository`,
		`No rule to make target `+named,
		`unable to open database(?: file)? `+named,
		`(?:error setting certificate (?:file|verify locations):?|CAfile:|CApath:) `+named,
		`\bcannot find `+named,
		`(?i:failed to (?:read|open|load)|could not (?:read|open|load|access)|couldn't (?:read|open|load)|can't (?:read|open|load)|cannot (?:read|open|load|access|stat)|unable to (?:read|open|load)|error (?:reading|opening|loading)) (?:[a-z]+ ){0,2}`+named+`\s*(?:$|[:.,(])`,
		// dash and busybox: "sh: 1: /x: not found", "sh: /x: not found".
		`^\S*sh: (?:(?:line )?\d+: )?`+named+`: not found`,
		// A path on a line of its own, behind "file failed to open for reading (No such file or directory):".
		`^\s+`+named+`$`,
	)
})

var (
	// writes is what stands in a message about something that was to be written or
	// made, changes what stands beside a denial alone.
	writes = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?i:` + unwritable + `|\bEROFS\b)|(?i:cannot|can't|could ?n.t|could not|unable to|failed to) (?:touch|create|make|write)\b|for writing\b|\b(?:mkdir|mkdtemp) '/|\bmkdir(?:\(\))? `)
	})
	changes = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?i:cannot|can't|could ?n.t|could not|unable to|failed to) (?:remove|unlink|move|rename|delete)\b|EACCES: permission denied, (?:unlink|rmdir|rename|symlink|link|write|copyfile|truncate|chmod|utime)`)
	})
	absent   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i:no such file|ENOENT)`) })
	hasText  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(texts) })
	escapes  = regexp.MustCompile(`\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])`)
	tooShort = regexp.MustCompile(`^/[^/]*$`) // the root, and the directories that it has
)

func compile(patterns ...string) (all []*regexp.Regexp) {
	for _, p := range patterns {
		all = append(all, regexp.MustCompile(p))
	}
	return all
}

const (
	// maxLogLine is how much of a line is looked at, in bytes.
	maxLogLine = 16 << 10
	// maxPath is the kernel's PATH_MAX.
	maxPath = 4096
)

// FromLog finds in a task's log the paths that the task has not found, but that
// are on this host. A path outside of a policy does not exist for a task: so
// the kernel denies nothing, and no record tells of it. Each is returned as a
// denial to read it, or to write it if the line says so. What says that a socket was
// denied is returned as a denial of the system call, or of a port if it names one.
//
// The task writes its log: what is found is a wish of the task's, and no more.
func FromLog(r io.Reader) ([]audit.Line, error) {
	var tally audit.Tally
	lines := bufio.NewReaderSize(r, maxLogLine)
	var network socketReader
	behind := false // the line before says that something is missing
	for {
		line, err := readLine(lines)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("reading the log: %w", err)
		}
		for _, d := range missing(line, behind) {
			tally.Add(d)
		}
		network.read(line)
		if text := strings.TrimSpace(line); text != "" {
			behind = hasText().MatchString(text) && strings.HasSuffix(text, ":")
		}
		if err != nil {
			break
		}
	}
	for _, d := range network.found {
		tally.Add(d)
	}
	var found []audit.Line
	for _, d := range tally.Denials() {
		found = append(found, audit.Line{Denial: d})
	}
	return found, nil
}

// readLine reads a line, of which it returns no more than the reader's buffer holds.
func readLine(r *bufio.Reader) (string, error) {
	part, more, err := r.ReadLine()
	line := escapes.ReplaceAllString(string(part), "")
	for more && err == nil {
		_, more, err = r.ReadLine()
	}
	return strings.TrimRight(line, "\r"), err
}

// theLog is who has been denied what is found in a log.
const theLog = "the task's log"

// missing are the denials of paths of a line that are on this host.
func missing(line string, behind bool) (found []audit.Denial) {
	if !strings.Contains(line, "/") || !utf8.ValidString(line) {
		return nil
	}
	write := writes().MatchString(line) || changes().MatchString(line) && !absent().MatchString(line)
	all := messages()
	for i, message := range all {
		// The last one counts only behind a line with the system's text.
		if i == len(all)-1 && !behind {
			continue
		}
		for _, match := range message.FindAllStringSubmatch(line, -1) {
			for _, path := range match[1:] {
				if path = strings.TrimRight(path, "."); path == "" || len(path) >= maxPath {
					continue
				}
				if d, ok := denied(filepath.Clean(path), write); ok {
					found = append(found, d)
				}
			}
		}
	}
	return found
}

// denied is the denial of a path, false if this host has nothing there. To make what
// is not there takes its directory. Of the packages of node, each takes others.
func denied(path string, write bool) (audit.Denial, bool) {
	d := audit.Denial{Kind: audit.FS, Rights: []string{"fs.read_file"}, Path: path, Count: 1, Command: theLog}
	_, err := os.Stat(path)
	if write {
		d.Rights = []string{"fs.write_file"}
		if err != nil {
			d.Rights, d.Path = []string{"fs.make_reg"}, filepath.Dir(path)
			_, err = os.Stat(d.Path)
		}
	} else if before, _, inside := strings.Cut(path, "/node_modules/"); inside {
		d.Path = before + "/node_modules"
	}
	return d, err == nil && d.Path != "/"
}
