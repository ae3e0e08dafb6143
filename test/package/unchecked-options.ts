import { relative } from 'node:path';
import ts from 'typescript-api';
import { type PublicParts, publicFunctions } from './public-functions.ts';

/**
 * Whether a parameter is an object of options, by its name, the name of its type, or an optional member in its
 * anonymous type, with more than signals.
 */
function isOptions(parameter: ts.ParameterDeclaration, checker: ts.TypeChecker): boolean {
  const { name, type } = parameter;
  const isNamed = /^(?:options|given|choice|of|sources)$/.test(name.getText());
  const isLiteral = type !== undefined && ts.isTypeLiteralNode(type) && type.members.some((one) => one.questionToken);
  const words = /(?:Options|Settings|Choice|Sources|Demand|Expectations|SignInRequest)\b/;
  if (!isNamed && !isLiteral && !words.test(type?.getText() ?? '')) return false;
  const given = checker.getNonNullableType(checker.getTypeAtLocation(parameter));
  return (
    given.getCallSignatures().length === 0 &&
    given.getProperties().some((member) => {
      return !/^(?:AbortSignal|undefined| \| )+$/.test(checker.typeToString(checker.getTypeOfSymbol(member)));
    })
  );
}

/** Whether a function passes a parameter of it to `checkMembers`, itself or through a function that gets it whole. */
function isChecked(
  body: ts.FunctionLikeDeclaration,
  parameter: string,
  parts: PublicParts,
  seen: Set<ts.Node> = new Set(),
): boolean {
  if (seen.has(body) || body.body === undefined) return false;
  seen.add(body);
  const visit = (node: ts.Node): boolean => {
    if (ts.isCallExpression(node)) {
      const at = node.arguments.findIndex((one) => ts.isIdentifier(one) && one.text === parameter);
      if (at >= 0) {
        if (node.expression.getText() === 'checkMembers') return true;
        const called = parts.checker.getResolvedSignature(node)?.declaration;
        // Another implementation of a public interface, such as of a key provider, is looked at by itself.
        if (called !== undefined && parts.interfaces.has(called.parent)) return true;
        const own = called?.parameters[at]?.name;
        if (called !== undefined && 'body' in called && own !== undefined && ts.isIdentifier(own)) {
          if (isChecked(called as ts.FunctionLikeDeclaration, own.text, parts, seen)) return true;
        }
      }
    }
    return ts.forEachChild(node, visit) === true;
  };
  return visit(body.body);
}

/** A function in src/ that implements a method of a public interface, and the declaration of the method. */
interface Implementation {
  readonly path: string;
  readonly method: ts.MethodSignature;
  readonly body: ts.FunctionLikeDeclaration;
}

/** Finds the objects and classes that implement public interfaces. */
function implementations({ program, checker, interfaces }: PublicParts): Implementation[] {
  const found: Implementation[] = [];
  const visit = (node: ts.Node): void => {
    ts.forEachChild(node, visit);
    const isClass = ts.isClassDeclaration(node);
    if (!isClass && !ts.isObjectLiteralExpression(node)) return;
    const types = isClass
      ? (node.heritageClauses ?? []).flatMap((clause) => clause.types.map((one) => checker.getTypeAtLocation(one)))
      : [checker.getContextualType(node)];
    for (const member of isClass ? node.members : node.properties) {
      const body = ts.isPropertyAssignment(member) ? member.initializer : member;
      if (!ts.isMethodDeclaration(body) && !ts.isArrowFunction(body)) continue;
      const name = member.name?.getText() ?? '';
      const method = types.flatMap((type) => type?.getProperty(name)?.declarations ?? []).find(ts.isMethodSignature);
      if (method === undefined || !interfaces.has(method.parent)) continue;
      found.push({ path: `${relative('.', node.getSourceFile().fileName)}: ${name}`, method, body });
    }
  };
  for (const file of program.getSourceFiles()) if (!file.isDeclarationFile) visit(file);
  return found;
}

/** Public functions with options: how many there are, and which of them ignore a misspelt one. */
export interface FunctionsWithOptions {
  readonly count: number;
  /** `subpath: name(parameter)` */
  readonly unchecked: readonly string[];
}

/** Looks in src/ for functions with an object of options that never reaches `checkMembers`. */
export function readFunctionsWithOptions(): FunctionsWithOptions {
  const parts = publicFunctions();
  const { checker, functions } = parts;
  const declared = functions.map(({ path, body }) => ({ path, method: body, body }));
  const others = implementations(parts).filter(({ body }) => functions.every((one) => one.body !== body));
  const found = [...declared, ...others].flatMap(({ path, method, body }) =>
    body.parameters
      .filter((_, at) => method.parameters[at] !== undefined && isOptions(method.parameters[at], checker))
      .map(({ name }) => ({
        path: `${path}(${ts.isIdentifier(name) ? name.text : '{…}'})`,
        isChecked: ts.isIdentifier(name) && isChecked(body, name.text, parts),
      })),
  );
  return { count: found.length, unchecked: found.filter((one) => !one.isChecked).map(({ path }) => path) };
}
