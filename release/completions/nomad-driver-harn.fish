# The program completes its own command line.
function __complete_nomad_driver_harn
    set -lx COMP_LINE (commandline -cp)
    set -lx COMP_POINT (string length -- "$COMP_LINE")
    nomad-driver-harn
end
complete -f -c nomad-driver-harn -a "(__complete_nomad_driver_harn)"
