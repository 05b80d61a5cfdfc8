# Playwright with Debian's Chromium. They talk through pipes.
job "playwright" {
  type = "batch"

  group "playwright" {
    task "playwright" {
      driver = "harn"

      config {
        command = "/bin/bash"
        args = ["-ec", <<-EOT
          cd $NOMAD_TASK_DIR
          cat > page.cjs <<'SCRIPT'
          const { chromium } = require('/usr/local/lib/programs/node_modules/playwright-core');
          (async () => {
            const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', chromiumSandbox: false });
            const page = await browser.newPage();
            await page.setContent('<button onclick="this.textContent = 40 + 2">press</button>');
            await page.click('button');
            console.log('the button says', await page.textContent('button'));
            await page.screenshot({ path: 'page.png' });
            await browser.close();
          })();
          SCRIPT
          node page.cjs
          ls page.png
        EOT
        ]

        capability_policy {
          side_effect_level = "network"
          workspace_roots   = ["local"]
          tcp_connect       = []
          tcp_bind          = [0]
        }
      }

      resources {
        cpu    = 500
        memory = 1024
      }
    }
  }
}
