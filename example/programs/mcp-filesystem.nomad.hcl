# A server of the Model Context Protocol for files, and its client, which talk
# through pipes. The server is told what it may touch; the policy sees to it.
job "mcp-filesystem" {
  type = "batch"

  group "mcp-filesystem" {
    task "mcp-filesystem" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          echo 'read by the server' > note.txt
          cat > client.mjs <<'SCRIPT'
          import { spawn } from 'node:child_process';
          import { createInterface } from 'node:readline';
          const server = spawn('mcp-server-filesystem', [process.cwd()], { stdio: ['pipe', 'pipe', 'inherit'] });
          const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
          const send = (message) => server.stdin.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\n');
          async function call(id, method, params) {
            send({ id, method, params });
            for (;;) {
              const answer = JSON.parse((await lines.next()).value);
              if (answer.id === id) return answer.result;
            }
          }
          await call(1, 'initialize', { protocolVersion: '2024-11-05', capabilities: {}, clientInfo: { name: 'client', version: '1' } });
          send({ method: 'notifications/initialized' });
          const tool = (id, name, args) => call(id, 'tools/call', { name, arguments: args });
          console.log((await tool(2, 'read_text_file', { path: process.cwd() + '/note.txt' })).content[0].text);
          await tool(3, 'write_file', { path: process.cwd() + '/written.txt', content: 'written by the server' });
          server.kill();
          SCRIPT
          node client.mjs
          cat written.txt
        EOT
        ]

        capability_policy {
          side_effect_level = "process_exec"
          workspace_roots   = ["local"]
        }
      }

      resources {
        cpu    = 500
        memory = 512
      }
    }
  }
}
